//! `#[netchan(...)]`, and which of `#[serde(...)]` may stand beside it.

use proc_macro2::TokenStream;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Error, LitStr, Path, Result, Token, Type, parenthesized, token};

/// One to four fingerprints go on the wire: the type's own and these.
const MAX_OLDER: usize = 3;

/// What `#[netchan(...)]` says about a type.
#[derive(Default)]
pub(crate) struct OfType {
    pub(crate) name: Option<String>,
    pub(crate) krate: Option<Path>,
    pub(crate) older: Vec<Type>,
}

impl OfType {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut parsed = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("netchan")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    parsed.name = Some(name(&meta)?);
                } else if meta.path.is_ident("crate") {
                    parsed.krate = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("also") {
                    if parsed.older.len() == MAX_OLDER {
                        return Err(meta.error("at most three older versions can be accepted"));
                    }
                    parsed.older.push(meta.value()?.parse()?);
                } else {
                    return Err(meta.error("expected `also = Type`, `name = \"...\"` or `crate = path`"));
                }
                Ok(())
            })?;
        }
        check_serde(attributes)?;
        Ok(parsed)
    }
}

/// The name that `#[netchan(name = "...")]` gives a field or variant.
pub(crate) fn of_part(attributes: &[Attribute]) -> Result<Option<String>> {
    let mut found = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("netchan")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("expected `name = \"...\"`"));
            }
            found = Some(name(&meta)?);
            Ok(())
        })?;
    }
    check_serde(attributes)?;
    Ok(found)
}

fn name(meta: &ParseNestedMeta<'_>) -> Result<String> {
    let text: LitStr = meta.value()?.parse()?;
    if text.value().is_empty() {
        return Err(Error::new(text.span(), "a name cannot be empty"));
    }
    Ok(text.value())
}

/// Refuses serde attributes that change the encoding: the fingerprint, made from what stands in the
/// source, would be that of another type.
fn check_serde(attributes: &[Attribute]) -> Result<()> {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute.parse_nested_meta(|meta| {
            if let Some(advice) = advice(&meta.path) {
                let attribute = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                return Err(meta.error(format!(
                    "netchan cannot send a type with `#[serde({attribute})]`, \
                     which changes the encoding but not the fingerprint: {advice}"
                )));
            }
            skip_value(&meta)
        })?;
    }
    Ok(())
}

/// What to do instead of a serde attribute, `None` for those that leave the encoding as it is: names are
/// not encoded, and every field is there.
fn advice(attribute: &Path) -> Option<&'static str> {
    const HARMLESS: &[&str] = &[
        "alias",
        "bound",
        "crate",
        "default",
        "deny_unknown_fields",
        "expecting",
        "rename",
        "rename_all",
        "rename_all_fields",
        "transparent",
    ];
    let Some(attribute) = attribute.get_ident().map(ToString::to_string) else {
        return Some("remove it");
    };
    match attribute.as_str() {
        harmless if HARMLESS.contains(&harmless) => None,
        "flatten" => Some("remove it, the inner struct is sent in place anyway"),
        "content" | "tag" | "untagged" => Some("remove it, enums are sent with the number of their variant"),
        "other" => Some("remove it, and accept older versions with `#[netchan(also = ...)]`"),
        skip if skip.starts_with("skip") => {
            Some("remove it, or keep what is not sent in another struct; what may be absent is an `Option`")
        }
        _ => {
            Some("wrap the foreign type in one of your own that holds what is sent, and convert at the ends")
        }
    }
}

fn skip_value(meta: &ParseNestedMeta<'_>) -> Result<()> {
    if meta.input.peek(token::Paren) {
        let content;
        parenthesized!(content in meta.input);
        content.parse::<TokenStream>()?;
    } else if meta.input.peek(Token![=]) {
        meta.value()?.parse::<LitStr>().map(drop).or_else(|_| meta.input.parse::<Path>().map(drop))?;
    }
    Ok(())
}
