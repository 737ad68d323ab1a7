//! Certificates of nodes, made by authorities of the test's own.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

/// Who signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Certified {
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certifies a node.
    pub(crate) fn certify(&self, node: &str) -> Certified {
        self.sign(CertificateParams::new([node.to_owned()]).unwrap())
    }

    /// Certifies a node for a time that is over.
    pub(crate) fn certified_once(&self, node: &str) -> Certified {
        let mut params = CertificateParams::new([node.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Certified {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Certified { certificate, key }
    }

    /// Puts what a node needs in a folder.
    pub(crate) fn equip(&self, folder: &Path, node: &str) -> PathBuf {
        self.put(folder, node, &self.pem(), &self.certify(node))
    }

    pub(crate) fn put(
        &self,
        folder: &Path,
        node: &str,
        believed: &str,
        certified: &Certified,
    ) -> PathBuf {
        let folder = folder.join(node);
        fs::create_dir_all(&folder).unwrap();
        let write = |file: &str, text: &str| fs::write(folder.join(file), text).unwrap();
        write("authority.pem", believed);
        write("node.pem", &certified.certificate.pem());
        write("key.pem", &certified.key.serialize_pem());
        folder
    }
}
