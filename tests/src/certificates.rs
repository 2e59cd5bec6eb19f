//! Certificates of an authority made for one test, by openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a server's certificate says.
const SERVER: &str = "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth";

/// An authority and what it signed: for a server at `127.0.0.1` and `localhost`, and for a client.
#[derive(Debug, Clone)]
pub struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    /// Makes them in a directory.
    ///
    /// # Panics
    /// When openssl fails.
    #[must_use]
    pub fn make(dir: &Path) -> Self {
        let made = Self {
            dir: dir.to_owned(),
        };
        let request =
            "req -x509 -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2";
        let authority = "-keyout ca.key -out ca.pem -subj /CN=test-authority";
        let purpose = "-addext keyUsage=critical,keyCertSign";
        made.openssl(&format!("{request} {authority} {purpose}"));
        made.sign("server", SERVER);
        made.sign("client", "extendedKeyUsage=clientAuth");
        made
    }

    /// Makes another pair for a server, of another serial number.
    ///
    /// # Panics
    /// When openssl fails.
    pub fn renew(&self, name: &str) {
        self.sign(name, SERVER);
    }

    /// Makes the certificate of a pair anew, as one that ended with the year 2000.
    ///
    /// # Panics
    /// When openssl fails.
    pub fn expire(&self, name: &str) {
        let write = |file: &str, text: &str| {
            std::fs::write(self.dir.join(file), text).expect("a file of the authority");
        };
        write(
            "ca.conf",
            "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\nrand_serial = yes\n\
             policy = any\ndefault_md = sha256\n[any]\ncommonName = supplied\n",
        );
        write("index.txt", "");
        let dates = "-startdate 990101000000Z -enddate 010101000000Z";
        self.openssl(&format!(
            "ca -batch -notext -config ca.conf -cert ca.pem -keyfile ca.key -outdir . \
             -extfile {name}.ext -in {name}.csr {dates} -out {name}.pem"
        ));
    }

    fn sign(&self, name: &str, extension: &str) {
        let path = self.dir.join(format!("{name}.ext"));
        let text = format!("basicConstraints=CA:FALSE\n{extension}\n");
        std::fs::write(path, text).expect("the extensions are written");
        self.openssl(&format!(
            "req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
             -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
             -extfile {name}.ext -days 2 -out {name}.pem"
        ));
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        command.current_dir(&self.dir).args(arguments.split(' '));
        let output = command.output().expect("openssl runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {said}");
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// The certificate of `server`, `client` or a renewed one, PEM.
    #[must_use]
    pub fn certificate(&self, of: &str) -> PathBuf {
        self.dir.join(format!("{of}.pem"))
    }

    /// The private key of `server`, `client` or a renewed one, PEM.
    #[must_use]
    pub fn key(&self, of: &str) -> PathBuf {
        self.dir.join(format!("{of}.key"))
    }
}
