//! What a node tells its peers without being asked.

use bytes::{Buf, BufMut, Bytes};

use super::{EnvelopeError, KIND_NOTICE, manager_name, prefix, text};
use crate::labels::MAX_LABELS_LEN;
use crate::{Error, Labels, MAX_NAME_LEN, ManagerName};

const LEAVING: u8 = 1;
const SERVES: u8 = 2;
const LABELS: u8 = 3;
const HEALTH: u8 = 4;
const TOOK_OVER: u8 = 5;

/// Something that a node tells its peers without being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The sender is shutting down: give it no further keys.
    Leaving,
    /// The sender has a manager of this name from now on, or has it no longer.
    Serves {
        /// The manager's name.
        manager: ManagerName,
        /// Whether it has it.
        serves: bool,
    },
    /// What the sender says about itself. It comes before the first manager of the sender, and
    /// not at all where it is what is taken of everybody.
    Labels(Labels),
    /// What the sender's own signals say of its health: place no keys on one that isn't
    /// healthy.
    Health {
        /// Whether it is healthy.
        healthy: bool,
    },
    /// The sender has taken agents over from whom it tells, since there was no session between
    /// them: those that it runs end, once storage confirms that.
    TookOver,
}

impl Notice {
    /// Writes the envelope.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(16 + MAX_NAME_LEN.max(MAX_LABELS_LEN));
        prefix(&mut out, KIND_NOTICE, 0);
        match self {
            Self::Leaving => out.put_u8(LEAVING),
            Self::TookOver => out.put_u8(TOOK_OVER),
            Self::Health { healthy } => {
                out.put_u8(HEALTH);
                out.put_u8(u8::from(*healthy));
            }
            Self::Serves { manager, serves } => {
                out.put_u8(SERVES);
                out.put_u8(u8::from(*serves));
                out.put_u8(manager.as_str().len() as u8);
                out.put_slice(manager.as_str().as_bytes());
            }
            Self::Labels(labels) => {
                out.put_u8(LABELS);
                out.put_u32(labels.weight());
                for label in [labels.zone(), labels.region(), labels.version()] {
                    let label = label.unwrap_or_default();
                    out.put_u8(label.len() as u8);
                    out.put_slice(label.as_bytes());
                }
            }
        }
        out.into()
    }
}

pub(super) fn decode(mut bytes: Bytes) -> Result<Notice, EnvelopeError> {
    let short = |_| EnvelopeError::Malformed("notice cut short");
    match bytes.try_get_u8().map_err(short)? {
        LEAVING => Ok(Notice::Leaving),
        TOOK_OVER => Ok(Notice::TookOver),
        SERVES => {
            let serves = bytes.try_get_u8().map_err(short)? != 0;
            Ok(Notice::Serves {
                manager: manager_name(&mut bytes)?,
                serves,
            })
        }
        LABELS => decode_labels(&mut bytes),
        HEALTH => Ok(Notice::Health {
            healthy: bytes.try_get_u8().map_err(short)? != 0,
        }),
        _ => Err(EnvelopeError::Malformed("unknown notice")),
    }
}

type Set = fn(Labels, String) -> Result<Labels, Error>;

fn decode_labels(bytes: &mut Bytes) -> Result<Notice, EnvelopeError> {
    let short = |_| EnvelopeError::Malformed("notice cut short");
    let refused = |_: Error| EnvelopeError::Malformed("bad label");
    let weight = bytes.try_get_u32().map_err(short)?;
    let mut labels = Labels::new().with_weight(weight).map_err(refused)?;
    let sets: [Set; 3] = [Labels::with_zone, Labels::with_region, Labels::with_version];
    for set in sets {
        let len = usize::from(bytes.try_get_u8().map_err(short)?);
        let label = text(bytes, len, MAX_NAME_LEN, |label| Ok(label.to_owned()))?;
        if !label.is_empty() {
            labels = set(labels, label).map_err(refused)?;
        }
    }
    Ok(Notice::Labels(labels))
}
