//! The text format that Prometheus had before OpenMetrics, for whoever does not ask for the newer one.

/// OpenMetrics in the older form: a counter is named as its samples are, and there are neither units
/// nor an end.
pub(super) fn of(open: &str) -> String {
    let mut old = String::with_capacity(open.len());
    let mut lines = open.lines().peekable();
    let is_counter = |line: &str| line.starts_with("# TYPE ") && line.ends_with(" counter");
    while let Some(line) = lines.next() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        // What is said of a counter comes as two lines, the help first.
        let of_counter =
            line.starts_with("# HELP ") && lines.peek().is_some_and(|it| is_counter(it));
        let said = line.split_once(' ').and_then(|(_, rest)| rest.split_once(' '));
        let said = said.and_then(|(what, rest)| Some((what, rest.split_once(' ')?)));
        match said.filter(|_| of_counter || is_counter(line)) {
            Some((what, (name, rest))) => {
                for part in ["# ", what, " ", name, "_total ", rest] {
                    old.push_str(part);
                }
            }
            None => old.push_str(line),
        }
        old.push('\n');
    }
    old
}

#[cfg(test)]
mod tests {
    #[test]
    fn counters_are_named_as_their_samples_are() {
        let open = "# HELP a_seconds Of a.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
                    a_seconds_total 1\n# HELP b Of b, no counter\n# TYPE b gauge\nb{c=\"d\"} 2\n# EOF\n";
        let old = "# HELP a_seconds_total Of a.\n# TYPE a_seconds_total counter\n\
                   a_seconds_total 1\n# HELP b Of b, no counter\n# TYPE b gauge\nb{c=\"d\"} 2\n";
        assert_eq!(super::of(open), old);
    }
}
