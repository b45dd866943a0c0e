//! The certificate authority of one run, which exists where its policy inspects TLS. Its key never leaves this process.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long a certificate of a name holds; it is made anew after half of it.
const LEAF: Duration = Duration::from_secs(24 * 3600);
/// How long the authority holds: longer than any run.
const HOLDS: Duration = Duration::from_secs(400 * 24 * 3600);
/// Clocks differ.
const BEFORE: Duration = Duration::from_secs(3600);
/// Most names whose certificates are kept.
const MOST_NAMES: usize = 1000;

/// Makes certificates for names as they are asked for.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Of all leaves: it never leaves this process either.
    key: KeyPair,
    made: RefCell<HashMap<String, (SystemTime, Arc<ServerConfig>)>>,
}

impl Authority {
    /// An authority of this run alone.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(run: &str) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&format!("Replicante run {run}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        hold(&mut params, HOLDS);
        Ok(Self {
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)?,
            key: KeyPair::generate()?,
            made: RefCell::default(),
        })
    }

    /// Its certificate, for those who are to trust it.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// How to be the server of a name: its certificate and key, and HTTP/1.1 alone.
    ///
    /// # Errors
    /// When no certificate can be made for the name.
    pub fn server(&self, name: &str) -> Result<Arc<ServerConfig>, String> {
        let now = SystemTime::now();
        let mut made = self.made.borrow_mut();
        if let Some((at, config)) = made.get(name)
            && now.duration_since(*at).is_ok_and(|age| age < LEAF / 2)
        {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.fresh(name)?);
        if made.len() >= MOST_NAMES {
            made.clear();
        }
        made.insert(name.to_owned(), (now, Arc::clone(&config)));
        Ok(config)
    }

    fn fresh(&self, name: &str) -> Result<ServerConfig, String> {
        let failed = |error: rcgen::Error| error.to_string();
        let mut params = CertificateParams::new([name.to_owned()]).map_err(failed)?;
        params.distinguished_name = named(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        hold(&mut params, LEAF);
        let leaf = params.signed_by(&self.key, &self.issuer).map_err(failed)?;
        let chain = vec![CertificateDer::from(leaf)];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| error.to_string())?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

fn hold(params: &mut CertificateParams, time: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - BEFORE).into();
    params.not_after = (now + time).into();
}
