//! Just enough of Rust's grammar to tell code from comments, strings and tests.

/// The code of a file: comments and the insides of literals become spaces, lines stay where they are.
pub(super) fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (len, keep) = token(rest, code.chars().next_back());
        let (token, after) = rest.split_at(len);
        if keep {
            code.push_str(token);
        } else {
            code.extend(token.chars().map(|c| if c == '\n' { c } else { ' ' }));
        }
        rest = after;
    }
    code
}

/// The code before a file's tests.
pub(super) fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod tests").next().unwrap_or(code)
}

/// Whether `word` stands in `line` as a word of its own.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_name) && !after.is_some_and(is_name)
    })
}

pub(super) fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the first token of `rest`, and whether it is code.
fn token(rest: &str, before: Option<char>) -> (usize, bool) {
    let first = rest.chars().next().expect("the caller stops at the end");
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), false);
    }
    if rest.starts_with("/*") {
        return (comment_len(rest), false);
    }
    if first == 'r'
        && !before.is_some_and(is_name)
        && let Some(len) = raw_string_len(rest)
    {
        return (len, false);
    }
    match first {
        '"' => (quoted_len(rest, '"'), false),
        // 'a' and '\n' are literals, 'a is a lifetime.
        '\'' if rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'') => {
            (quoted_len(rest, '\''), false)
        }
        _ => (first.len_utf8(), true),
    }
}

fn comment_len(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

fn raw_string_len(rest: &str) -> Option<usize> {
    let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
    let body = rest[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let len = body.find(&end).unwrap_or(body.len());
    Some((2 + hashes + len + end.len()).min(rest.len()))
}

fn quoted_len(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_characters_are_not_code() {
        let text = "a // b\n/* c /* d */ e */ f \"g\\\"h\" i r#\"j\"k\"# 'l' 'm: '\\'' n";
        let words: Vec<_> = code(text).split_whitespace().map(str::to_owned).collect();
        assert_eq!(words, ["a", "f", "i", "'m:", "n"]);
        assert_eq!(code(text).len(), text.len());
    }

    #[test]
    fn a_word_is_not_a_part_of_a_longer_one() {
        assert!(has_word("let x = unsafe { y };", "unsafe"));
        assert!(!has_word("unsafe_code", "unsafe"));
    }
}
