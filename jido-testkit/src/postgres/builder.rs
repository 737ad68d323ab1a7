//! How a temporary server is asked for.

use std::fmt;

use super::server::Tls;
use super::temporary::{TemporaryPostgres, not_ours};
use crate::Error;

/// The variable that names a server to use instead.
const VARIABLE: &str = "DATABASE_URL";

/// Says what a [`TemporaryPostgres`] is like.
#[derive(Clone, Default)]
pub struct TemporaryPostgresBuilder {
    pub(super) settings: Vec<(String, String)>,
    url: Option<String>,
    own: bool,
    fsync_off: bool,
    tls: Option<Tls>,
}

impl fmt::Debug for TemporaryPostgresBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the URL: it holds a password.
        f.debug_struct("TemporaryPostgresBuilder")
            .field("settings", &self.settings)
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

impl TemporaryPostgresBuilder {
    /// Starts the server with a setting of `postgresql.conf`, beyond the defaults
    /// of Postgres: so `fsync` and `synchronous_commit` are on unless they are
    /// set otherwise here.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Spares the server waiting for the disk, for tests of what it answers and not of
    /// what it keeps. A server that `DATABASE_URL` names stays as it is.
    #[must_use]
    pub fn fsync_off(mut self) -> Self {
        self.fsync_off = true;
        self
    }

    /// Has the server take connections over TLS alone, with a certificate and its private
    /// key, each as PEM. A client finds it at 127.0.0.1, so that is what the certificate
    /// has to name for those who look.
    #[must_use]
    pub fn tls(mut self, certificate: impl Into<String>, key: impl Into<String>) -> Self {
        self.tls = Some(Tls {
            certificate: certificate.into(),
            key: key.into(),
        });
        self
    }

    /// A server of its own even where `DATABASE_URL` is set, for what stops the
    /// server or needs settings.
    #[must_use]
    pub fn own(mut self) -> Self {
        self.own = true;
        self
    }

    /// Uses the server of this URL, as if it stood in `DATABASE_URL`. Its user has
    /// to be allowed to make databases (`createdb`), and needs no right beyond that.
    #[must_use]
    pub fn database_url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Starts the server, unless `DATABASE_URL` names one, and waits until it takes
    /// connections.
    ///
    /// # Errors
    ///
    /// [`Missing`](crate::ErrorKind::Missing) where no server is installed;
    /// [`NotOurs`](crate::ErrorKind::NotOurs) for settings or TLS where `DATABASE_URL`
    /// names a server; [`Exited`](crate::ErrorKind::Exited) and
    /// [`TooSlow`](crate::ErrorKind::TooSlow), with the end of the server's log;
    /// [`Machine`](crate::ErrorKind::Machine), also for a URL that can't be read.
    pub async fn start(mut self) -> Result<TemporaryPostgres, Error> {
        let given = || {
            let variable = std::env::var(VARIABLE).ok();
            self.url.clone().or(variable.filter(|url| !url.is_empty()))
        };
        match if self.own { None } else { given() } {
            Some(_) if self.tls.is_some() => Err(not_ours("given a certificate")),
            Some(url) => TemporaryPostgres::given(&url, &self.settings),
            None => {
                if self.fsync_off {
                    self.settings.push(("fsync".to_owned(), "off".to_owned()));
                }
                TemporaryPostgres::made(self.settings, self.tls).await
            }
        }
    }
}
