//! What is dropped in each namespace.

use std::collections::{BTreeMap, BTreeSet};

/// The table and its chain, which takes everything at first.
pub(super) const BASE: &str = "\
add table inet jido
add chain inet jido input { type filter hook input priority 0 ; policy accept ; }
";

/// Takes all rules away.
const FLUSH: &str = "flush table inet jido\n";

/// The rules of every namespace, by its name.
#[derive(Debug, Default)]
pub(super) struct Rules(BTreeMap<String, BTreeSet<String>>);

impl Rules {
    /// Adds one, which says what is dropped of what arrives; gives the script by which the
    /// namespace has all its rules.
    pub(super) fn add(&mut self, at: &str, rule: String) -> String {
        let rules = self.0.entry(at.to_owned()).or_default();
        rules.insert(rule);
        let lines = rules.iter();
        let lines = lines.map(|rule| format!("add rule inet jido input {rule} drop\n"));
        [FLUSH.to_owned()].into_iter().chain(lines).collect()
    }

    /// Takes all away; gives the script for each namespace that had some.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = (String, &'static str)> + use<> {
        std::mem::take(&mut self.0)
            .into_keys()
            .map(|at| (at, FLUSH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_has_all_rules_of_its_namespace_and_none_once_they_are_gone() {
        let mut rules = Rules::default();
        rules.add("a", "ip saddr 10.0.0.1".to_owned());
        rules.add("b", "ip saddr 10.0.0.2".to_owned());
        let again = rules.add("a", "ip saddr 10.0.0.1".to_owned());
        assert_eq!(again.lines().count(), 2, "{again}");
        let both = rules.add("a", "ip saddr 10.0.0.3".to_owned());
        assert_eq!(
            both,
            "flush table inet jido\n\
             add rule inet jido input ip saddr 10.0.0.1 drop\n\
             add rule inet jido input ip saddr 10.0.0.3 drop\n"
        );
        let cleared: Vec<_> = rules.clear().collect();
        assert_eq!(cleared, [("a".to_owned(), FLUSH), ("b".to_owned(), FLUSH)]);
        assert_eq!(rules.clear().count(), 0);
    }
}
