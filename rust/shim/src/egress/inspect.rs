//! TLS that is ended here: towards the agent with the run's own authority, towards the server with the machine's (N10).

use super::certificates::Authority;
use super::target::Target;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client};

/// Where the certificates that are trusted inside lie, the run's own authority among them.
pub const BUNDLE: &str = "/etc/replicante-ca.pem";
/// Variables by which programs are told of it: OpenSSL, Python, curl, Node, Git, pip, cargo, the AWS tools, Deno.
pub const VARIABLES: [&str; 10] = [
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
    "NIX_SSL_CERT_FILE",
];
/// Where systems have their bundle, and programs look that no variable tells.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What TLS is ended with.
pub struct Inspection {
    pub authority: Authority,
    connector: TlsConnector,
}

impl Inspection {
    /// For a run whose policy inspects: an authority of its own, and the machine's roots, read now.
    ///
    /// # Errors
    /// When no authority can be made.
    pub fn new(run: &str) -> Result<Self, String> {
        let authority = Authority::new(run).map_err(|error| error.to_string())?;
        let mut roots = RootCertStore::empty();
        // What can't be read of the machine's roots is not trusted.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            authority,
            connector: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Files by which programs inside trust the authority beside the machine's: path and text.
    pub fn files(&self) -> Vec<(String, String)> {
        let of_caller = std::env::var("SSL_CERT_FILE").ok();
        let mut bundles = of_caller.iter().map(String::as_str).chain(SYSTEM);
        let text = bundles.find_map(|path| std::fs::read_to_string(path).ok());
        let text = format!("{}\n{}", text.unwrap_or_default(), self.authority.pem());
        let there = SYSTEM
            .into_iter()
            .filter(|path| std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file()));
        std::iter::once(BUNDLE)
            .chain(there)
            .map(|path| (path.to_owned(), text.clone()))
            .collect()
    }

    /// Speaks TLS with the server, whose certificate must be for the target.
    ///
    /// # Errors
    /// When it is not, or the server ends the connection.
    pub async fn connect(
        &self,
        target: &Target,
        stream: TcpStream,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(target.host.to_string()).map_err(io::Error::other)?;
        self.connector.connect(name, stream).await
    }
}

/// Whether a connection failed because the server's certificate is not trusted, or not for its name.
pub fn is_unverified(error: &io::Error) -> bool {
    let of_tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(of_tls, Some(rustls::Error::InvalidCertificate(_)))
}
