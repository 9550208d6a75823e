//! Messages made of others, without a heap: options, results, tuples and arrays.

use super::{EndError, EndVisitor, Message, Shape};

impl<T: Message> Message for Option<T> {
    const NAME: &'static str = "Option";
    const SHAPE: Shape = Shape::option::<T>();

    fn visit_ends(&mut self, visitor: &mut dyn EndVisitor) -> Result<(), EndError> {
        match self {
            Some(value) if T::HAS_ENDS => value.visit_ends(visitor),
            _ => Ok(()),
        }
    }
}

impl<T: Message, E: Message> Message for Result<T, E> {
    const NAME: &'static str = "Result";
    const SHAPE: Shape = Shape::result::<T, E>();
    const IS_RESULT: bool = true;

    fn visit_ends(&mut self, visitor: &mut dyn EndVisitor) -> Result<(), EndError> {
        match self {
            Ok(value) => value.visit_ends(visitor),
            Err(error) => error.visit_ends(visitor),
        }
    }
}

macro_rules! tuple {
    ($($type:ident $at:tt),*) => {
        impl<$($type: Message),*> Message for ($($type,)*) {
            const NAME: &'static str = "tuple";
            const SHAPE: Shape = Shape::tuple()$(.item::<$type>())*.finish();

            fn visit_ends(&mut self, visitor: &mut dyn EndVisitor) -> Result<(), EndError> {
                $(self.$at.visit_ends(visitor)?;)*
                Ok(())
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

// One by one, because serde has its traits only for these lengths.
macro_rules! array {
    ($($len:literal)*) => {$(
        impl<T: Message> Message for [T; $len] {
            const NAME: &'static str = "array";
            const SHAPE: Shape = Shape::array::<T>($len);

            fn visit_ends(&mut self, visitor: &mut dyn EndVisitor) -> Result<(), EndError> {
                if T::HAS_ENDS {
                    for item in self {
                        item.visit_ends(visitor)?;
                    }
                }
                Ok(())
            }
        }
    )*};
}

array!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
