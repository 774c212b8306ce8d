use super::*;

fn id(name: &str) -> ProjectId {
    ProjectId(name.parse().unwrap())
}

fn project(name: &str, parent: &str) -> Project {
    let parent = (!parent.is_empty()).then(|| id(parent));
    Project { parent, ..Project::new(id(name)) }
}

fn faults(put: &[Project], gone: &[&str]) -> Vec<(String, &'static str, String)> {
    let gone: Vec<ProjectId> = gone.iter().map(|name| id(name)).collect();
    let faults = Projects::default().changed(put, &gone, false).err().unwrap_or_default();
    faults.into_iter().map(|it| (it.project.to_string(), it.field, it.why)).collect()
}

#[test]
fn a_tree_is_put_together_in_any_order() {
    let put = [project("vision", "lab"), project("lab", ""), project("video", "vision")];
    let projects = Projects::default().changed(&put, &[], false).unwrap();
    let video = id("video");
    let lineage: Vec<String> = projects.lineage(&video).map(|it| it.id.to_string()).collect();
    assert_eq!(lineage, ["video", "vision", "lab"]);
    assert!(projects.get(&ProjectId::default_project()).is_some(), "it always exists");
    let names: Vec<String> = projects.iter().map(|it| it.id.to_string()).collect();
    assert_eq!(names, ["default", "lab", "video", "vision"]);
}

#[test]
fn what_is_no_tree_is_refused_with_all_that_is_wrong() {
    let cycle = faults(&[project("a", "b"), project("b", "c"), project("c", "a")], &[]);
    assert_eq!(cycle.len(), 3, "{cycle:?}");
    assert!(cycle.iter().all(|(_, field, why)| *field == "parent" && why.contains("itself")));
    let unknown = faults(&[project("a", "nobody")], &["nothing", "default"]);
    let why: Vec<&str> = unknown.iter().map(|(.., why)| why.as_str()).collect();
    assert_eq!(unknown.len(), 3, "{unknown:?}");
    assert!(why[0].contains("no such project") && why[1].contains("always exists"), "{why:?}");
    assert!(why[2].contains("declare it too"), "{why:?}");
    assert_eq!(faults(&[project("a", ""), project("a", "")], &[]).len(), 1, "twice");
    assert_eq!(faults(&[project("a", "a")], &[]).len(), 1, "its own parent");
}

#[test]
fn levels_and_labels_are_bounded() {
    let names: Vec<String> = (0..=DEPTH_MAX).map(|level| format!("p{level}")).collect();
    let mut put = vec![project(&names[0], "")];
    put.extend(names.windows(2).map(|pair| project(&pair[1], &pair[0])));
    let deep = faults(&put, &[]);
    assert_eq!(deep.len(), 1, "only the lowest is too low: {deep:?}");
    assert!(faults(&put[..DEPTH_MAX], &[]).is_empty(), "exactly so many are right");
    for (key, value) in [("", "x"), ("x", "a\nb"), ("x", &"y".repeat(LABEL_MAX + 1))] {
        let labels = [(key.to_owned(), value.to_owned())].into();
        let labelled = Project { labels, ..project("a", "") };
        assert_eq!(faults(&[labelled], &[]).len(), 1, "{key:?}");
    }
}

#[test]
fn the_tighter_of_two_binds_and_a_whole_replaces_all() {
    let rate = |name: &str, parent: &str, rate: &str| Project {
        quota: Quota { rate_each: Some(rate.parse().unwrap()), ..Quota::default() },
        ..project(name, parent)
    };
    let put = [rate("org", "", "100Mbit"), rate("user", "org", "3Gbit")];
    let projects = Projects::default().changed(&put, &[], false).unwrap();
    let (user, org) = (id("user"), id("org"));
    let tightest = projects.tightest(&user, |quota| quota.rate_each);
    assert_eq!(tightest, Some(("100Mbit".parse().unwrap(), &org)));
    assert_eq!(projects.tightest(&user, |quota| quota.rate), None);
    let after = projects.changed(&[project("other", "")], &[], true).unwrap();
    let name = |it: Option<&Project>| it.map(|it| it.id.to_string());
    let differing = projects.differences(&after).map(|(old, new)| (name(old), name(new)));
    let differing: Vec<_> = differing.collect();
    let some = |name: &str| Some(name.to_owned());
    let expected = [(some("org"), None), (None, some("other")), (some("user"), None)];
    assert_eq!(differing, expected);
}
