use crate::upload::FileName;

/// What stands around the file in a body with one part.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Framing {
    pub(super) content_type: String,
    pub(super) before: String,
    pub(super) after: String,
}

/// Frames one file part as browsers do (RFC 7578, HTML Standard "multipart/form-data").
///
/// The boundary is random, so that no file can contain it on purpose.
pub(super) fn frame(field: &str, name: &FileName, content_type: &str, random: [u8; 16]) -> Framing {
    let boundary = format!("----steadfast-{}", hex::encode(random));
    let field = escape(field);
    let name = escape(name.as_str());
    Framing {
        content_type: format!("multipart/form-data; boundary={boundary}"),
        before: format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"; \
             filename=\"{name}\"\r\nContent-Type: {content_type}\r\n\r\n"
        ),
        after: format!("\r\n--{boundary}--\r\n"),
    }
}

/// The HTML Standard's escape of a name: these three, and nothing else.
fn escape(name: &str) -> String {
    name.replace('\n', "%0A")
        .replace('\r', "%0D")
        .replace('"', "%22")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_browsers_do() {
        let name = FileName::parse("a \"b\" ü;.zip").unwrap();
        let framing = frame("fi\"le\r\n", &name, "text/plain", [7; 16]);
        let line = "Content-Disposition: form-data; name=\"fi%22le%0D%0A\"; \
                    filename=\"a %22b%22 ü;.zip\"\r\n";
        assert!(framing.before.contains(line), "{}", framing.before);
        let boundary = framing.content_type.split_once("boundary=").unwrap().1;
        assert_eq!(framing.after, format!("\r\n--{boundary}--\r\n"));
        assert!(framing.before.starts_with(&format!("--{boundary}\r\n")));
    }
}
