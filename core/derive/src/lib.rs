//! The derive for netchan's `Message` trait.
//!
//! Use it through `netchan`, which re-exports it beside the trait.

use proc_macro::TokenStream;

mod attributes;
mod expand;
mod fields;

/// Derives `netchan::Message`, for structs and enums that also derive serde's `Serialize` and
/// `Deserialize`.
///
/// The trait's documentation says what `#[netchan(...)]` takes and which of serde's attributes are refused.
#[proc_macro_derive(Message, attributes(netchan))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    expand::message(input).unwrap_or_else(syn::Error::into_compile_error).into()
}
