//! How a temporary server is asked for.

use std::fmt;
use std::net::IpAddr;

use super::server::{Access, Tls};
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
    access: Access,
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
        self.access.tls = Some(Tls {
            certificate: certificate.into(),
            key: key.into(),
        });
        self
    }

    /// Has the server listen at an address other than 127.0.0.1, and take connections from all
    /// machines of its network. Passwords go there in the clear, so it is for networks of the
    /// test's own, as [`Namespaces`](crate::process::Namespaces) are.
    #[must_use]
    pub fn listen(mut self, address: IpAddr) -> Self {
        self.access.address = Some(address);
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
    /// [`NotOurs`](crate::ErrorKind::NotOurs) for settings, TLS or an address where
    /// `DATABASE_URL` names a server; [`Exited`](crate::ErrorKind::Exited) and
    /// [`TooSlow`](crate::ErrorKind::TooSlow), with the end of the server's log;
    /// [`Machine`](crate::ErrorKind::Machine), also for a URL that can't be read.
    pub async fn start(mut self) -> Result<TemporaryPostgres, Error> {
        let given = || {
            let variable = std::env::var(VARIABLE).ok();
            self.url.clone().or(variable.filter(|url| !url.is_empty()))
        };
        match if self.own { None } else { given() } {
            Some(_) if self.access.tls.is_some() => Err(not_ours("given a certificate")),
            Some(_) if self.access.address.is_some() => Err(not_ours("given an address")),
            Some(url) => TemporaryPostgres::given(&url, &self.settings),
            None => {
                if self.fsync_off {
                    self.settings.push(("fsync".to_owned(), "off".to_owned()));
                }
                TemporaryPostgres::made(self.settings, self.access).await
            }
        }
    }
}
