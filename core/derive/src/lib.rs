//! The derive for netchan's `Message` trait.
