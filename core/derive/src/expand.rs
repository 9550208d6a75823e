//! The implementation that the derive writes.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Error, Path, Result, parse_quote};

use crate::attributes::{self, OfType};
use crate::fields;

pub(crate) fn message(mut input: DeriveInput) -> Result<TokenStream> {
    if let Some(lifetime) = input.generics.lifetimes().next() {
        let what = "a message owns its data and cannot have lifetimes: use `String` or `Text<N>` for `&str`, \
                    `Bytes` or `Blob<N>` for `&[u8]`";
        return Err(Error::new(lifetime.span(), what));
    }
    let attributes = OfType::parse(&input.attrs)?;
    let krate = attributes.krate.unwrap_or_else(|| parse_quote!(::netchan));
    let name = attributes.name.unwrap_or_else(|| input.ident.unraw().to_string());
    let (shape, visit) = body(&input, &name, &krate)?;

    for parameter in input.generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(#krate::Message));
    }
    let ident = &input.ident;
    let (impl_generics, ty_generics, where_clause) = input.generics.split_for_impl();
    let older = &attributes.older;
    let accepted = (!older.is_empty()).then(|| {
        quote! {
            const ACCEPTED: &'static [#krate::message::Accepted<Self>] =
                &[#(#krate::message::Accepted::version::<#older>()),*];
        }
    });
    // So that a type that nests too deep is refused where it is, not where it is first sent.
    let early = input
        .generics
        .params
        .is_empty()
        .then(|| quote!(const _: #krate::message::Shape = <#ident as #krate::Message>::SHAPE;));
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #krate::Message for #ident #ty_generics #where_clause {
            const NAME: &'static str = #name;
            const SHAPE: #krate::message::Shape = #krate::message::Shape::#shape.finish();
            const BY_SERDE: bool = true;
            #accepted
            #visit
        }
        #early
    })
}

/// The shape, from the constructor on, and the method `visit_ends`, absent where there is nothing to visit.
fn body(input: &DeriveInput, name: &str, krate: &Path) -> Result<(TokenStream, Option<TokenStream>)> {
    let mut arms = TokenStream::new();
    let shape = match &input.data {
        Data::Struct(data) => {
            fields::check(&data.fields, &input.ident)?;
            let parts = fields::shape(&data.fields)?;
            if !data.fields.is_empty() {
                let arm = fields::visit_arm(krate, &data.fields);
                arms.extend(quote!(Self #arm));
            }
            quote!(structure(#name) #parts)
        }
        Data::Enum(data) if data.variants.is_empty() => {
            return Err(Error::new(input.ident.span(), "an enum without variants has no values to send"));
        }
        Data::Enum(data) => {
            let mut shape = quote!(enumeration(#name));
            for variant in &data.variants {
                fields::check(&variant.fields, &input.ident)?;
                let given = attributes::of_part(&variant.attrs)?;
                let name = given.unwrap_or_else(|| variant.ident.unraw().to_string());
                let parts = fields::shape(&variant.fields)?;
                shape.extend(quote!(.variant(#name) #parts));
                if !variant.fields.is_empty() {
                    let ident = &variant.ident;
                    let arm = fields::visit_arm(krate, &variant.fields);
                    arms.extend(quote!(Self::#ident #arm));
                }
            }
            if data.variants.iter().any(|variant| variant.fields.is_empty()) && !arms.is_empty() {
                arms.extend(quote!(_ => {}));
            }
            shape
        }
        Data::Union(data) => {
            return Err(Error::new(data.union_token.span(), "a union cannot be sent: use an enum"));
        }
    };
    let visit = (!arms.is_empty()).then(|| {
        quote! {
            fn visit_ends(
                &mut self,
                visitor: &mut dyn #krate::message::EndVisitor,
            ) -> ::core::result::Result<(), #krate::message::EndError> {
                if <Self as #krate::Message>::HAS_ENDS {
                    match self { #arms }
                }
                ::core::result::Result::Ok(())
            }
        }
    });
    Ok((shape, visit))
}
