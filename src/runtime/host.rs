//! The names of this machine.

/// Its own name, and that within each domain in which it looks names up. Those that cannot be found out are left out.
pub fn names() -> Vec<String> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    qualified(&read("/proc/sys/kernel/hostname"), &read("/etc/resolv.conf"))
}

/// Of `search` and `domain` in resolv.conf(5) the last counts.
fn qualified(name: &str, resolv_conf: &str) -> Vec<String> {
    let name = name.trim();
    if name.is_empty() || name == "(none)" {
        return Vec::new();
    }
    let mut domains = Vec::new();
    for line in resolv_conf.lines() {
        let mut words = line.split_whitespace();
        if matches!(words.next(), Some("search" | "domain")) {
            domains = words.map(|domain| domain.trim_matches('.')).filter(|domain| !domain.is_empty()).collect();
        }
    }
    let within = domains.iter().map(|domain| format!("{name}.{domain}"));
    std::iter::once(name.to_owned()).chain(within).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_known_by_its_name_and_within_the_domains_that_it_searches() {
        let resolv_conf =
            "# domain no.example\nnameserver 10.0.0.1\ndomain old.example\nsearch . a.example b.example.\n";
        assert_eq!(qualified("jobs\n", resolv_conf), ["jobs", "jobs.a.example", "jobs.b.example"]);
        assert_eq!(qualified("jobs.example.org", ""), ["jobs.example.org"]);
        assert!(qualified("", resolv_conf).is_empty());
    }
}
