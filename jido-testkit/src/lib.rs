//! jido-testkit
