use http::HeaderMap;
use http::header::CONTENT_DISPOSITION;

/// What a request wants, as far as its signature has to say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To begin an upload.
    Create,
    /// To send bytes of one.
    Chunk,
    /// To ask how one stands, or to cancel it.
    Upload,
    /// Something of the app's.
    App {
        /// Whether it brings a body.
        has_body: bool,
    },
}

impl Purpose {
    /// What a signature must cover of such a request.
    #[must_use]
    pub fn required(self, headers: &HeaderMap, has_query: bool) -> Vec<&'static str> {
        let mut required = vec!["@authority", "@method", "@path"];
        let with = |name: &'static str| headers.contains_key(name).then_some(name);
        required.extend(has_query.then_some("@query"));
        match self {
            Self::Create => {
                // The name may come in another header.
                let name =
                    with(CONTENT_DISPOSITION.as_str()).filter(|_| with("x-filename").is_none());
                required.push(name.unwrap_or("x-filename"));
                required.push("x-total-size");
                required.extend(with("repr-digest"));
            }
            Self::Chunk => {
                required.extend(["x-upload-session-id", "x-chunk-number", "content-digest"]);
            }
            Self::Upload => {
                required.extend(with("x-upload-session-id"));
            }
            Self::App { has_body } => {
                required.extend(has_body.then_some("content-digest"));
            }
        }
        required
    }
}
