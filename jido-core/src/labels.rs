//! What a node says about itself for others to place keys by.

use std::sync::Arc;

use crate::name::check;
use crate::{Error, MAX_NAME_LEN};

/// The weight of a node that is told none.
pub const DEFAULT_WEIGHT: u32 = 100;

/// The largest weight of a node.
pub const MAX_WEIGHT: u32 = 10_000;

/// What a node says about itself: where it stands, what it runs, how much it can take.
///
/// ```
/// use jido_core::Labels;
///
/// let labels = Labels::new().with_zone("eu-1a")?.with_weight(200)?;
/// assert_eq!(labels.zone(), Some("eu-1a"));
/// assert_eq!((labels.region(), labels.weight()), (None, 200));
/// # Ok::<(), jido_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    zone: Option<Arc<str>>,
    region: Option<Arc<str>>,
    version: Option<Arc<str>>,
    weight: u32,
}

impl Default for Labels {
    fn default() -> Self {
        Self {
            zone: None,
            region: None,
            version: None,
            weight: DEFAULT_WEIGHT,
        }
    }
}

fn checked(what: &str, label: &str) -> Result<Option<Arc<str>>, Error> {
    check(what, label).map(|()| Some(Arc::from(label)))
}

impl Labels {
    /// Of a node that says nothing but its name: its weight is [`DEFAULT_WEIGHT`].
    pub fn new() -> Self {
        Self::default()
    }

    /// With the zone that the node stands in: what fails together, as one data centre does.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) unless it has 1 to
    /// [`MAX_NAME_LEN`] ASCII letters, digits, `-`, `_` and `.`.
    pub fn with_zone(self, zone: impl AsRef<str>) -> Result<Self, Error> {
        let zone = checked("zone", zone.as_ref())?;
        Ok(Self { zone, ..self })
    }

    /// With the region that the zone is in.
    ///
    /// # Errors
    ///
    /// As [`with_zone`](Labels::with_zone).
    pub fn with_region(self, region: impl AsRef<str>) -> Result<Self, Error> {
        let region = checked("region", region.as_ref())?;
        Ok(Self { region, ..self })
    }

    /// With the version of what the node runs.
    ///
    /// # Errors
    ///
    /// As [`with_zone`](Labels::with_zone).
    pub fn with_version(self, version: impl AsRef<str>) -> Result<Self, Error> {
        let version = checked("version", version.as_ref())?;
        Ok(Self { version, ..self })
    }

    /// With a weight: how much the node takes, compared to others. One of weight 200 takes twice
    /// as many keys as one of [`DEFAULT_WEIGHT`].
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) unless it is 1 to [`MAX_WEIGHT`].
    pub fn with_weight(self, weight: u32) -> Result<Self, Error> {
        match weight {
            1..=MAX_WEIGHT => Ok(Self { weight, ..self }),
            _ => Err(Error::invalid(format!(
                "weight is {weight}: it is 1 to {MAX_WEIGHT}"
            ))),
        }
    }

    /// The zone that the node stands in, if it says so.
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// The region that the zone is in, if the node says so.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The version of what the node runs, if it says so.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// How much the node takes, compared to others: 1 to [`MAX_WEIGHT`].
    pub fn weight(&self) -> u32 {
        self.weight
    }
}

/// The longest that labels are as they travel, in bytes.
pub(crate) const MAX_LABELS_LEN: usize = 4 + 3 * (1 + MAX_NAME_LEN);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_named_with_its_limit() {
        let long = "z".repeat(MAX_NAME_LEN + 1);
        let refused = |labels: Result<Labels, Error>| labels.unwrap_err().to_string();
        assert_eq!(
            refused(Labels::new().with_weight(0)),
            "weight is 0: it is 1 to 10000"
        );
        assert!(refused(Labels::new().with_weight(MAX_WEIGHT + 1)).contains("1 to 10000"));
        assert!(refused(Labels::new().with_zone("")).starts_with("zone has 0 bytes: it has 1 to"));
        assert!(refused(Labels::new().with_region(&long)).starts_with("region has 129 bytes"));
        assert!(refused(Labels::new().with_version("1.0+x")).starts_with("version \"1.0+x\" has"));
        assert!(Labels::new().with_weight(MAX_WEIGHT).is_ok());
    }
}
