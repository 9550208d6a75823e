//! Messages without parts: numbers, `bool`, `char` and `()`.

use super::{Message, Shape};

macro_rules! leaf {
    ($($type:ty, $name:literal, $max_len:literal;)*) => {$(
        impl Message for $type {
            const NAME: &'static str = $name;
            const SHAPE: Shape = Shape::leaf($name, Some($max_len));
            const BY_SERDE: bool = true;
        }
    )*};
}

leaf! {
    (), "unit", 0;
    bool, "bool", 1;
    // Length and UTF-8, as postcard has it.
    char, "char", 5;
    f32, "f32", 4;
    f64, "f64", 8;
    i8, "i8", 1;
    i16, "i16", 3;
    i32, "i32", 5;
    i64, "i64", 10;
    i128, "i128", 19;
    u8, "u8", 1;
    u16, "u16", 3;
    u32, "u32", 5;
    u64, "u64", 10;
    u128, "u128", 19;
}
