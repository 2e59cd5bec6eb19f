//! Places in a file: `config.toml:12:5`.

/// A text and the name it is known by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'t> {
    pub(super) name: &'t str,
    pub(super) text: &'t str,
}

impl Places<'_> {
    /// `name:line:column` of a byte; both count from 1, columns in characters.
    pub(super) fn at(self, offset: usize) -> String {
        let column = self.text[self.line_start(offset)..self.floor(offset)]
            .chars()
            .count()
            + 1;
        format!("{}:{}:{column}", self.name, self.line(offset))
    }

    /// The line of a byte, from 1.
    pub(super) fn line(self, offset: usize) -> usize {
        self.text[..self.floor(offset)].matches('\n').count() + 1
    }

    /// Where the line of a byte starts.
    pub(super) fn line_start(self, offset: usize) -> usize {
        self.text[..self.floor(offset)]
            .rfind('\n')
            .map_or(0, |end| end + 1)
    }

    /// A parser may point into a character or behind the end.
    fn floor(self, offset: usize) -> usize {
        self.text.floor_char_boundary(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one() {
        let places = Places {
            name: "c.toml",
            text: "a = 1\nä = 2\n",
        };
        assert_eq!(places.at(0), "c.toml:1:1");
        assert_eq!(places.at(6), "c.toml:2:1");
        assert_eq!(places.at(8), "c.toml:2:2");
        assert_eq!(places.at(7), "c.toml:2:1");
        assert_eq!(places.at(99), "c.toml:3:1");
    }
}
