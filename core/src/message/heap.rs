//! Messages that grow on the heap: text, lists, maps and boxes.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::{EndError, EndVisitor, Message, Shape};

impl Message for String {
    const NAME: &'static str = "string";
    const SHAPE: Shape = Shape::leaf("string", None);
}

impl<T: Message> Message for Vec<T> {
    const NAME: &'static str = "Vec";
    const SHAPE: Shape = Shape::list::<T>();

    fn visit_ends(&mut self, visitor: &mut dyn EndVisitor) -> Result<(), EndError> {
        if T::HAS_ENDS {
            for item in self {
                item.visit_ends(visitor)?;
            }
        }
        Ok(())
    }
}

impl<K: Message + Ord, V: Message> Message for BTreeMap<K, V> {
    const NAME: &'static str = "BTreeMap";
    const SHAPE: Shape = {
        assert!(!K::HAS_ENDS, "a channel end cannot be the key of a map");
        Shape::map::<K, V>()
    };

    fn visit_ends(&mut self, visitor: &mut dyn EndVisitor) -> Result<(), EndError> {
        if V::HAS_ENDS {
            for value in self.values_mut() {
                value.visit_ends(visitor)?;
            }
        }
        Ok(())
    }
}

impl<T: Message> Message for Box<T> {
    const NAME: &'static str = T::NAME;
    const SHAPE: Shape = Shape::boxed::<T>();

    fn visit_ends(&mut self, visitor: &mut dyn EndVisitor) -> Result<(), EndError> {
        (**self).visit_ends(visitor)
    }
}
