//! TLS: who answers is made sure of as far as `sslmode` asks for it.

use std::path::PathBuf;

use jido_storage::{ErrorKind, PostgresStorage, Storage};
use jido_testkit::postgres::{Shutdown, TemporaryPostgres};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::fixture::*;

/// An authority whose certificate clients have as a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(folder: &TempDir, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// A server that takes connections over TLS alone, with a certificate for 127.0.0.1.
    async fn server(&self) -> TemporaryPostgres {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        TemporaryPostgres::builder()
            .own()
            .fsync_off()
            .tls(certificate.pem(), key.serialize_pem())
            .start()
            .await
            .unwrap()
    }
}

/// The URL with parameters of TLS.
fn with(server: &TemporaryPostgres, mode: &str, authority: Option<&Authority>) -> String {
    let root = authority.map(|one| format!("&sslrootcert={}", one.file.display()));
    format!(
        "{}?sslmode={mode}{}",
        server.url(),
        root.unwrap_or_default()
    )
}

/// The error that a URL leads to, which never shows a secret.
async fn refused(server: &TemporaryPostgres, url: &str) -> String {
    let error = PostgresStorage::connect(options(url)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let password = server.url().split([':', '@']).nth(2).unwrap();
    let shown = format!("{error} {error:?}");
    assert!(
        password.len() == 32 && !shown.contains(password) && !shown.contains("postgres://"),
        "{shown}"
    );
    error.to_string()
}

/// Whether the connections that it has open are over TLS.
async fn runs_over_tls(url: &str) {
    let (storage, epochs) = claimed(options(url).schema("tls").unwrap(), &["a"]).await;
    assert_eq!(committed(&storage.append(note("a", epochs[0], 0)).await), 1);
    let mut session = Session::open(url).await;
    let seen = "select coalesce(bool_and(ssl), false)::text from pg_stat_ssl \
                join pg_stat_activity using (pid) where application_name = 'jido'";
    assert_eq!(session.ask(seen).await, "true", "{url}");
    session.run("drop schema tls cascade").await;
}

#[tokio::test]
async fn who_answers_is_made_sure_of_as_far_as_the_url_asks() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(&folder, "ours");
    let other = Authority::new(&folder, "other");
    let server = ours.server().await;

    runs_over_tls(&with(&server, "require", None)).await;
    runs_over_tls(&with(&server, "prefer", None)).await;
    runs_over_tls(&with(&server, "verify-full", Some(&ours))).await;

    for authority in [Some(&other), None] {
        let told = refused(&server, &with(&server, "verify-full", authority)).await;
        assert!(
            told.contains("invalid peer certificate") && told.contains("sslrootcert"),
            "{told}"
        );
    }
    // Signed by the right one, for another name.
    let by_name = with(&server, "verify-full", Some(&ours)).replace("127.0.0.1", "localhost");
    let told = refused(&server, &by_name).await;
    assert!(told.contains("invalid peer certificate"), "{told}");
    runs_over_tls(&by_name.replace("verify-full", "require")).await;

    let told = refused(&server, &with(&server, "disable", None)).await;
    assert!(
        told.contains("28000") && told.contains("no encryption"),
        "{told}"
    );
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let server = own_server().await;
    for mode in ["require", "verify-full"] {
        let told = refused(&server, &with(&server, mode, None)).await;
        assert!(told.contains("TLS"), "{told}");
    }
}

/// Nobody who takes the server's place is given a commit.
#[tokio::test]
async fn a_pool_that_comes_back_makes_sure_again() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(&folder, "ours");
    let mut server = ours.server().await;
    let url = with(&server, "verify-full", Some(&ours));
    let (storage, epochs) = claimed(options(&url), &["a"]).await;
    server.stop(Shutdown::Fast).await.unwrap();
    server.start_again().await.unwrap();
    // A connection of before is found to be gone, by this or by the next.
    let mut outcome = storage.append(note("a", epochs[0], 0)).await;
    while let jido_storage::AppendOutcome::Unknown(_) = outcome {
        outcome = storage.append(note("a", epochs[0], 0)).await;
    }
    assert_eq!(committed(&outcome), 1);
}
