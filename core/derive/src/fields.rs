//! The fields of a struct or variant: how they enter the shape, and which types cannot be sent.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Error, Fields, GenericArgument, Ident, Index, Member, PathArguments, Result, Type};

use crate::attributes;

/// `.field::<T>("name")` or `.item::<T>()` for each field.
pub(crate) fn shape(fields: &Fields) -> Result<TokenStream> {
    let mut shape = TokenStream::new();
    for field in fields {
        let given = attributes::of_part(&field.attrs)?;
        let ty = &field.ty;
        // Errors about a type that is no message point at the field.
        shape.extend(match (&field.ident, given) {
            (Some(ident), given) => {
                let name = given.unwrap_or_else(|| ident.unraw().to_string());
                quote_spanned!(ty.span()=> .field::<#ty>(#name))
            }
            (None, None) => quote_spanned!(ty.span()=> .item::<#ty>()),
            (None, Some(_)) => {
                return Err(Error::new(ty.span(), "a field without a name cannot be renamed"));
            }
        });
    }
    Ok(shape)
}

/// `{ a: end_0, b: end_1 } => { visit each }`, the arm of a match on `&mut self`.
pub(crate) fn visit_arm(krate: &syn::Path, fields: &Fields) -> TokenStream {
    let members = fields.iter().enumerate().map(|(at, field)| match &field.ident {
        Some(ident) => Member::Named(ident.clone()),
        None => Member::Unnamed(Index { index: at as u32, span: Span::call_site() }),
    });
    let names: Vec<_> = (0..fields.len()).map(|at| format_ident!("end_{at}")).collect();
    quote!({ #(#members: #names),* } => { #(#krate::Message::visit_ends(#names, visitor)?;)* })
}

/// Refuses types with an error that says what to use, where rustc's own would say less.
pub(crate) fn check(fields: &Fields, this: &Ident) -> Result<()> {
    fields.iter().try_for_each(|field| check_type(&field.ty, this))
}

fn check_type(ty: &Type, this: &Ident) -> Result<()> {
    match ty {
        Type::Array(array) => check_type(&array.elem, this),
        Type::Group(group) => check_type(&group.elem, this),
        Type::Paren(paren) => check_type(&paren.elem, this),
        Type::Tuple(tuple) => tuple.elems.iter().try_for_each(|ty| check_type(ty, this)),
        Type::Reference(_) => Err(Error::new(
            ty.span(),
            "a message owns its data: instead of a reference use `String` or `Text<N>`, `Bytes` or `Blob<N>`",
        )),
        Type::Path(path) => {
            if let Some(ident) = path.path.get_ident() {
                check_ident(ident, this)?;
            }
            let arguments = path.path.segments.iter().filter_map(|segment| match &segment.arguments {
                PathArguments::AngleBracketed(arguments) => Some(&arguments.args),
                _ => None,
            });
            // Of `Tick<u8>` inside `Tick<T>` rustc itself says that it never ends.
            arguments.flatten().try_for_each(|argument| match argument {
                GenericArgument::Type(ty) => check_type(ty, this),
                _ => Ok(()),
            })
        }
        _ => Ok(()),
    }
}

fn check_ident(ident: &Ident, this: &Ident) -> Result<()> {
    let what = match ident.to_string().as_str() {
        "usize" => "`usize` differs between machines: use `u32` or `u64`",
        "isize" => "`isize` differs between machines: use `i32` or `i64`",
        "str" => "a message owns its text: use `String` or `Text<N>`",
        "HashMap" => "use `BTreeMap`, whose order is the same on every machine",
        _ if ident == this || ident == "Self" => {
            "a message cannot contain itself, as its depth would have no limit: \
             put the parts into one list and refer to them by index"
        }
        _ => return Ok(()),
    };
    Err(Error::new(ident.span(), what))
}
