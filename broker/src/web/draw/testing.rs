//! Reads paths back, to see where they are.

/// Every point that a path of `M`, `V`, `h`, `v` and `z` goes through.
pub(in crate::web) fn points(path: &str) -> Vec<(i64, i64)> {
    let mut points = Vec::new();
    let (mut x, mut y) = (0_i64, 0_i64);
    let mut rest = path;
    while let Some(step) = rest.chars().next() {
        rest = &rest[1..];
        let end = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let numbers: Vec<i64> =
            rest[..end].split_whitespace().map(|number| number.parse().unwrap()).collect();
        rest = &rest[end..];
        match (step, numbers.as_slice()) {
            ('M', [to_x, to_y]) => (x, y) = (*to_x, *to_y),
            ('V', [to]) => y = *to,
            ('h', [by]) => x += by,
            ('v', [by]) => y += by,
            ('z', []) => continue,
            other => panic!("{other:?} is no step of {path}"),
        }
        points.push((x, y));
    }
    points
}

/// The value of an attribute, each time that it occurs.
pub(in crate::web) fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let begins = format!(" {attribute}=\"");
    page.split(&begins).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Whether every tag is closed in order, and every attribute is quoted.
pub(in crate::web) fn is_well_formed(page: &str) -> Result<(), String> {
    const VOID: [&str; 5] = ["meta", "link", "input", "img", "wbr"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page;
    while let Some((_, behind)) = rest.split_once('<') {
        let (tag, behind) = behind.split_once('>').ok_or("a tag has no end")?;
        rest = behind;
        if tag.starts_with('!') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            let last = open.pop();
            if last != Some(name) {
                return Err(format!("{name} closes {last:?}"));
            }
            continue;
        }
        if !tag.matches('"').count().is_multiple_of(2) {
            return Err(format!("a quote is open in {tag}"));
        }
        let name = tag.split_whitespace().next().unwrap_or_default();
        if !VOID.contains(&name) {
            open.push(name);
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("{open:?} are not closed")) }
}
