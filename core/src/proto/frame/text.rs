//! Texts: what they may be on the wire, and how long.

use crate::proto::hello::Name;

/// Longest name of an export, in bytes.
pub(crate) const NAME_MAX: usize = 64;
/// Longest readable type name on the wire, in bytes; longer ones are cut.
pub(crate) const TYPE_NAME_MAX: usize = 64;
/// Longest path of a node's name, in bytes: parts with `/` between.
pub(crate) const PATH_MAX: usize = 128;

/// Whether `name` can be the name of a channel: parts of `[a-z0-9._-]` with `/` between, at most 64 bytes; with `system`
/// also those that have `$` before a part, which are the system's own.
pub(crate) fn is_channel_name(name: &str, system: bool) -> bool {
    let mut before = b'/';
    for byte in name.bytes() {
        let may_be = match byte {
            b'/' => is_inside(before),
            b'$' => before == b'/' && system,
            // Those with `/` are `-` to `9`.
            _ => matches!(byte, b'-'..=b'9' | b'_' | b'a'..=b'z'),
        };
        if !may_be {
            return false;
        }
        before = byte;
    }
    is_inside(before) && name.len() <= NAME_MAX
}

/// Whether a part of a name may end here.
const fn is_inside(byte: u8) -> bool {
    !matches!(byte, b'/' | b'$')
}

/// Whether a text can be the path to a node: names with `/` between, and one before them where it
/// begins at the root.
pub(crate) fn is_path(path: &str) -> bool {
    let parts = path.strip_prefix('/').unwrap_or(path);
    path.len() <= PATH_MAX && (parts.split('/').all(|name| Name::new(name).is_ok()) || path == "/")
}

/// Whether a text has characters that no text on the wire has: those below U+0020, and U+007F to U+009F.
pub(crate) fn has_control(text: &[u8]) -> bool {
    let mut before = 0;
    text.iter().any(|&byte| {
        // The upper ones are two bytes, of which the first is this.
        let upper = core::mem::replace(&mut before, byte) == 0xc2 && byte < 0xa0;
        byte < 0x20 || byte == 0x7f || upper
    })
}

/// `text` cut to at most `max` bytes at a character.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_without_control_characters_are_those_that_have_none() {
        for char in (0..0x300).chain(0x2000..0x2100).filter_map(char::from_u32) {
            let text = std::format!("a{char}b{char}");
            assert_eq!(has_control(text.as_bytes()), char.is_control(), "{char:?}");
        }
    }

    #[test]
    fn names_of_exports_have_parts() {
        let good = ["a", "a/b", "$sys/log", "a/$b", "0.9_-z", "a/b/c"];
        let bad =
            ["", "/", "a/", "/a", "a//b", "$", "a/$", "$$a", "a$", "A", "a b", "\u{e4}", &"a".repeat(65)];
        for system in [false, true] {
            let is_good = |name: &&str| is_channel_name(name, system) == (system || !name.contains('$'));
            assert!(good.iter().all(is_good));
            assert!(!bad.iter().any(|name| is_channel_name(name, system)));
        }
    }
}
