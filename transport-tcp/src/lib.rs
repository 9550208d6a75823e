//! netchan links over TCP.
