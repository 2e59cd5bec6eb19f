/// Values made of bytes, in order. Where the bytes end, zeros follow.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether no bytes are left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }

    /// A number; small ones and the largest are as likely as others.
    pub(crate) fn number(&mut self) -> u64 {
        let width = self.byte() % 10;
        if width == 9 {
            return u64::MAX - u64::from(self.byte());
        }
        (0..width).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// Bytes behind their length, which is one byte.
    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte());
        self.exactly(len)
    }

    /// That many bytes, or as many as are left.
    pub(crate) fn exactly(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// A value, or none.
    pub(crate) fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.byte() % 2 == 1).then(|| value(self))
    }

    /// Up to three values.
    pub(crate) fn some<T>(&mut self, value: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.byte() % 4).map(|_| value(self)).collect()
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}
