//! What reflection tells a foreign client: every word explained, every expectation annotated.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor, Value};

fn pool() -> DescriptorPool {
    DescriptorPool::decode(tidegate_proto::DESCRIPTORS).unwrap()
}

fn ours(pool: &DescriptorPool) -> Vec<FileDescriptor> {
    pool.files().filter(|file| file.package_name().starts_with("tidegate.")).collect()
}

fn messages(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
    pool.all_messages().filter(|it| it.package_name().starts_with("tidegate.")).collect()
}

/// The numbers of `FieldBehavior` that a field is annotated with.
fn behaviours(pool: &DescriptorPool, message: &MessageDescriptor, field: &str) -> Vec<i32> {
    let extension = pool.get_extension_by_name("tidegate.v1.field_behavior").unwrap();
    let options = message.get_field_by_name(field).unwrap().options();
    let Value::List(list) = options.get_extension(&extension).into_owned() else { return vec![] };
    list.iter().filter_map(Value::as_enum_number).collect()
}

#[test]
fn the_annotations_survive_to_whoever_reflects() {
    let pool = pool();
    let behaviour = |message: &str, field: &str| {
        let message = pool.get_message_by_name(&format!("tidegate.v1.{message}")).unwrap();
        behaviours(&pool, &message, field)
    };
    assert_eq!(behaviour("Rigid", "rate_bps"), [1], "required");
    assert_eq!(behaviour("Reservation", "name"), [2], "output only");
    assert_eq!(behaviour("Rigid", "start_time"), [0; 0], "optional");
}

#[test]
fn every_mutation_requires_an_id() {
    let pool = pool();
    for message in messages(&pool) {
        if message.get_field_by_name("request_id").is_some() {
            assert_eq!(behaviours(&pool, &message, "request_id"), [1], "{}", message.full_name());
            assert!(message.get_field_by_name("validate_only").is_some(), "{}", message.name());
        }
    }
}

#[test]
fn every_number_wears_its_unit() {
    let units = ["_bps", "_bytes", "_ppm", "_ms", "_count", "_size", "_limit"];
    // Counters, ranks and codes, and counts that are named after what they count.
    let plain = ["version", "sequence", "cost", "path", "why", "code", "way", "priority", "weight"];
    let counted = ["streams", "steps", "members", "paths", "times", "weeks"];
    let mut bare = Vec::new();
    for message in messages(&pool()) {
        for field in message.fields() {
            let name = field.name().to_owned();
            let number = matches!(
                field.kind(),
                prost_reflect::Kind::Int32
                    | prost_reflect::Kind::Int64
                    | prost_reflect::Kind::Uint32
                    | prost_reflect::Kind::Uint64
            );
            let told = units.iter().any(|unit| name.ends_with(unit));
            let bound = name.strip_suffix("_min").or_else(|| name.strip_suffix("_max"));
            let counts = counted.contains(&bound.unwrap_or(&name));
            let counter = name.rsplit('_').next().is_some_and(|word| plain.contains(&word));
            if number && !told && !counts && !counter {
                bare.push(field.full_name().to_owned());
            }
        }
    }
    assert!(bare.is_empty(), "{bare:#?}");
}

#[test]
fn every_word_is_explained() {
    for file in ours(&pool()) {
        let proto = file.file_descriptor_proto();
        let info = proto.source_code_info.as_ref().unwrap();
        for location in &info.location {
            // Paths of declarations alternate field numbers and indices: messages 4, enums 5,
            // services 6, extensions 7, and below them fields 2, values 2, methods 2, nested 3, 4.
            let declares = matches!(
                location.path.as_slice(),
                [4..=7, _] | [4..=6, _, 2, _] | [4, _, 3 | 4 | 8, _] | [4, _, 3 | 4, _, 2, _]
            );
            let told = location.leading_comments.as_deref().is_some_and(|it| !it.trim().is_empty());
            let span = &location.span;
            assert!(!declares || told, "{}:{}", proto.name(), span.first().unwrap_or(&0) + 1);
        }
    }
}
