use serde_json::Value;

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header lines in order, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Interim statuses that came before.
    pub interim: Vec<u16>,
}

impl Response {
    /// An answer of which nothing but the status is known.
    #[must_use]
    pub fn bare(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            interim: Vec::new(),
        }
    }

    /// The one value of a header as text.
    ///
    /// # Panics
    /// When the header comes twice.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let first = values.next()?;
        assert!(values.next().is_none(), "{name} comes twice: {self:?}");
        Some(String::from_utf8_lossy(&first.1).into_owned())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is something else.
    #[must_use]
    pub fn json(&self) -> Value {
        let shown = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} not JSON ({error}): {shown:?}", self.status))
    }

    /// The `code` of an error, empty when the body has none.
    #[must_use]
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Asserts status and `code`, and hands the answer on.
    ///
    /// # Panics
    /// When either differs.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        let shown = String::from_utf8_lossy(&self.body).into_owned();
        assert_eq!(
            (self.status, self.code().as_str()),
            (status, code),
            "{shown}"
        );
        self
    }

    /// Asserts the status, and hands the answer on.
    ///
    /// # Panics
    /// When it differs.
    #[track_caller]
    pub fn status_is(self, status: u16) -> Self {
        assert_eq!(
            self.status,
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    /// Asserts a 2xx.
    ///
    /// # Panics
    /// When it is something else.
    #[track_caller]
    pub fn success(self) -> Self {
        let shown = String::from_utf8_lossy(&self.body);
        assert!((200..300).contains(&self.status), "{} {shown}", self.status);
        self
    }
}
