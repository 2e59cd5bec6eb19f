use std::fmt::Write as _;
use std::net::SocketAddr;

use super::Driver;
use crate::auth;
use crate::config::{self, Durability, Scheme, SessionStore};
use crate::dedup;

impl Driver {
    /// What a person wants to know at start, for a server that listens on `address`.
    #[must_use]
    pub fn summary(&self, address: SocketAddr) -> String {
        let rules = self.shared.rules.now();
        let config = &rules.config;
        let state_dir = config.uploads.state_dir.display();
        let sessions = if config.keeps_sessions() {
            match config.sessions.store {
                SessionStore::Redis => format!(
                    "shared in Redis as {}, logs and bytes in {state_dir}",
                    config.server.name.as_deref().unwrap_or("this server")
                ),
                _ => format!("on disk, in {state_dir}"),
            }
        } else {
            format!("in memory, their bytes in {state_dir}")
        };
        let mut text = format!("Listening on {}://{address}\n\n", self.protocol());
        let rows = [
            ("dialects", self.dialects()),
            ("sessions", sessions),
            ("durability", durability(config.durability()).to_owned()),
            ("delivery", delivery(&config.delivery)),
            ("signatures", self.signatures()),
        ];
        let duplicates = self.duplicates().map(|value| ("duplicates", value));
        let metrics = self.metrics().map(|value| ("metrics", value));
        for (name, value) in rows.into_iter().chain(duplicates).chain(metrics) {
            // Writing to a String does not fail.
            let _ = writeln!(text, "  {name:<11}{value}");
        }
        text.push_str(&self.how_to_try(address));
        text
    }

    fn protocol(&self) -> &'static str {
        match self.shared.identity.now().is_some() {
            true => "https",
            false => "http",
        }
    }

    fn dialects(&self) -> String {
        if self.shared.rules.now().config.speaks_chunked() {
            "chunked (POST and PUT /upload/chunked, GET /upload/status and /upload/events)"
                .to_owned()
        } else {
            "none".to_owned()
        }
    }

    fn duplicates(&self) -> Option<String> {
        let settings = dedup::Settings::of(&self.shared.rules.now().config)?;
        Some(settings.to_string())
    }

    #[cfg(feature = "serve")]
    fn metrics(&self) -> Option<String> {
        let address = self.port.as_ref()?.address().ok()?;
        Some(format!("http://{address}/metrics"))
    }

    #[cfg(not(feature = "serve"))]
    fn metrics(&self) -> Option<String> {
        None
    }

    fn signatures(&self) -> String {
        let rules = self.shared.rules.now();
        if !rules.config.security.enabled {
            return "none: anybody who reaches this server may upload".to_owned();
        }
        let schemes = [(Scheme::Message, "message"), (Scheme::Path, "path")];
        let accepted = schemes
            .into_iter()
            .filter(|(scheme, _)| rules.gate.accepts(*scheme));
        let accepted: Vec<_> = accepted.map(|(_, name)| name).collect();
        let accepted = accepted.join(" or ");
        match rules.gate.ring().made_at() {
            Some(path) => format!(
                "scheme {accepted}, with the secret made for you in {}",
                path.display()
            ),
            None => format!("scheme {accepted}, with the configured secret"),
        }
    }

    /// Commands to copy. A signature is printed only where the server made the secret: whoever
    /// reads this output may read the secret's file as well.
    fn how_to_try(&self, address: SocketAddr) -> String {
        const PATH: &str = "/upload/chunked";
        let gate = &self.shared.rules.now().gate;
        let ring = gate.ring();
        let key = gate.signing().filter(|_| gate.accepts(Scheme::Path));
        if key.is_none() && gate.accepts(Scheme::Message) {
            return format!(
                "\nTry it:\n  steadfast-server sign --host {address} --path {PATH} \\\n    \
                 --header X-Filename=hello.txt --header X-Total-Size=5 |\n  \
                 curl -i -X POST -H @- {}://{address}{PATH}\n",
                self.protocol()
            );
        }
        let signature = match (key, ring.made_at()) {
            (None, _) => String::new(),
            (Some(key), Some(_)) => {
                let signature = auth::path::sign(key.secret.expose(), PATH);
                format!(" \\\n    -H 'X-Signature: {signature}'")
            }
            (Some(_), None) => " \\\n    -H \"X-Signature: $SIGNATURE\"".to_owned(),
        };
        let mut text = format!(
            "\nTry it:\n  curl -i -X POST -H 'X-Filename: hello.txt' -H 'X-Total-Size: 5'{signature} \\\n    {}://{address}{PATH}\n",
            self.protocol()
        );
        if key.is_some() {
            let secret = match ring.made_at() {
                Some(path) => format!("$(cat {})", path.display()),
                None => "$SECRET".to_owned(),
            };
            let _ = write!(
                text,
                "\nA signature is made of the secret and the path:\n  printf %s {PATH} | openssl dgst -sha256 -hmac \"{secret}\" -r | cut -d' ' -f1\n"
            );
        }
        text
    }
}

fn durability(level: Durability) -> &'static str {
    match level {
        Durability::Power => {
            "power: what is acknowledged survives the death of the server, and a power cut"
        }
        Durability::Process => {
            "process: what is acknowledged survives the death of the server, not a power cut"
        }
    }
}

fn delivery(delivery: &config::Delivery) -> String {
    match delivery.mode {
        config::Mode::Store => format!("into {}", delivery.storage_path.display()),
        config::Mode::Handler => {
            let form = match delivery.form {
                config::Form::Multipart => format!("multipart field \"{}\"", delivery.field),
                config::Form::Raw => "the body".to_owned(),
            };
            format!("{} {}, the file as {form}", delivery.method, delivery.path)
        }
    }
}
