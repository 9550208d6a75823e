//! What is known of a type at compile time: its fingerprint and its limits.

use super::sha256::Sha256;
use super::{Fingerprint, Message};

/// How deep values may nest inside a message; a deeper type does not compile.
///
/// Options, structs (newtypes too), tuples, arrays, enums, lists and maps count one level each; numbers,
/// text and bytes count none.
///
/// A deeper type does not compile:
///
/// ```compile_fail
/// type Four<T> = ((((T,),),),);
///
/// #[derive(serde::Serialize, serde::Deserialize, netchan::Message)]
/// struct Deep {
///     x: Four<Four<Four<Four<u8>>>>,
/// }
/// ```
pub const MAX_DEPTH: usize = 16;

/// A message type's fingerprint and limits, computed at compile time.
///
/// The derive builds it, field by field. By hand it is needed only where a foreign type that serde knows
/// is wrapped in one's own; what it says must then match what the wrapper serializes.
///
/// ```
/// use netchan::message::Shape;
///
/// // What `#[derive(Message)] struct Tick { n: u32 }` makes.
/// const TICK: Shape = Shape::structure("Tick").field::<u32>("n").finish();
/// assert_eq!(TICK.max_len(), Some(5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    fingerprint: Fingerprint,
    max_len: Option<usize>,
    depth: usize,
    element: usize,
    has_ends: bool,
}

impl Shape {
    /// A type without parts: a number, text, bytes. `max_len` is its longest encoding inside a struct.
    pub const fn leaf(name: &str, max_len: Option<usize>) -> Self {
        Self::of(form(LEAF).text(name)).limited(max_len)
    }

    /// Text or bytes that hold at most `capacity` bytes.
    pub const fn bounded(name: &str, capacity: usize) -> Self {
        let form = form(BOUNDED).text(name).number(capacity);
        Self::of(form).limited(Some(varint_len(capacity) + capacity))
    }

    /// A channel end, that travels as an ordinal of at most `max_len` bytes; `carried` are its messages.
    pub const fn end(kind: &str, carried: &[Fingerprint], max_len: usize) -> Self {
        let mut form = form(END_OF_CHANNEL).text(kind);
        let mut at = 0;
        while at < carried.len() {
            form = form.byte(ITEM).child(carried[at]);
            at += 1;
        }
        Self { has_ends: true, ..Self::of(form.byte(CLOSE)).limited(Some(max_len)) }
    }

    /// `Option<T>`.
    pub const fn option<T: Message>() -> Self {
        let max_len = add(Some(1), T::SHAPE.max_len);
        Self::of(form(OPTION).child(T::FINGERPRINT)).holding(&[T::SHAPE]).limited(max_len)
    }

    /// `Result<T, E>`.
    pub const fn result<T: Message, E: Message>() -> Self {
        let max_len = add(Some(1), max(T::SHAPE.max_len, E::SHAPE.max_len));
        let form = form(RESULT).child(T::FINGERPRINT).child(E::FINGERPRINT);
        Self::of(form).holding(&[T::SHAPE, E::SHAPE]).limited(max_len)
    }

    /// `[T; count]`.
    pub const fn array<T: Message>(count: usize) -> Self {
        let max_len = match T::SHAPE.max_len {
            Some(len) => len.checked_mul(count),
            None => None,
        };
        let form = form(ARRAY).number(count).child(T::FINGERPRINT);
        Self::of(form).holding(&[T::SHAPE]).limited(max_len)
    }

    /// A list of any length.
    pub const fn list<T: Message>() -> Self {
        Self::of(form(LIST).child(T::FINGERPRINT)).holding(&[T::SHAPE]).with_element(size_of::<T>())
    }

    /// A map of any length.
    pub const fn map<K: Message, V: Message>() -> Self {
        let form = form(MAP).child(K::FINGERPRINT).child(V::FINGERPRINT);
        let shape = Self::of(form).holding(&[K::SHAPE, V::SHAPE]);
        shape.with_element(size_of::<K>()).with_element(size_of::<V>())
    }

    /// `Box<T>`: what `T` is, and the same on the wire, but its memory is counted when it is decoded.
    pub const fn boxed<T: Message>() -> Self {
        T::SHAPE.with_element(size_of::<T>())
    }

    /// A tuple, to be given its items.
    pub const fn tuple() -> ShapeBuilder {
        ShapeBuilder::new(form(TUPLE), 0)
    }

    /// A struct, to be given its fields or items.
    pub const fn structure(name: &str) -> ShapeBuilder {
        ShapeBuilder::new(form(STRUCT).text(name), 0)
    }

    /// An enum, to be given its variants, each followed by its fields or items.
    pub const fn enumeration(name: &str) -> ShapeBuilder {
        ShapeBuilder::new(form(ENUM).text(name), 0)
    }

    /// The type's fingerprint.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The longest encoding in bytes; `None` where there is no bound.
    pub const fn max_len(&self) -> Option<usize> {
        self.max_len
    }

    /// How many levels the type nests, at most [`MAX_DEPTH`].
    pub const fn depth(&self) -> usize {
        self.depth
    }

    /// Whether channel ends are inside.
    pub const fn has_ends(&self) -> bool {
        self.has_ends
    }

    /// The largest thing inside that decoding puts on the heap, in bytes; 0 if nothing goes there.
    ///
    /// Text and bytes do not count: they never take more memory than they took on the wire.
    pub(crate) const fn element(&self) -> usize {
        self.element
    }

    const fn of(form: Form) -> Self {
        Self { fingerprint: form.finish(), max_len: None, depth: 0, element: 0, has_ends: false }
    }

    const fn limited(self, max_len: Option<usize>) -> Self {
        Self { max_len, ..self }
    }

    const fn with_element(self, size: usize) -> Self {
        // At least one, so that lists of `()` are counted like all others.
        let size = if size == 0 { 1 } else { size };
        Self { element: larger(self.element, size), ..self }
    }

    /// One level above `parts`.
    const fn holding(mut self, parts: &[Self]) -> Self {
        let mut at = 0;
        while at < parts.len() {
            self.depth = larger(self.depth, parts[at].depth);
            self.element = larger(self.element, parts[at].element);
            self.has_ends |= parts[at].has_ends;
            at += 1;
        }
        self.depth += 1;
        assert!(self.depth <= MAX_DEPTH, "this message nests deeper than 16 levels: make it flatter");
        self
    }
}

/// A struct's, tuple's or enum's shape while its parts are being added.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct ShapeBuilder {
    form: Form,
    parts: Shape,
    /// The longest encoding of the fields since the start or the last `variant`.
    open: Option<usize>,
    /// The longest encoding of the variants before that.
    longest: Option<usize>,
    variants: usize,
}

impl ShapeBuilder {
    const fn new(form: Form, longest: usize) -> Self {
        let parts =
            Shape { fingerprint: Fingerprint::new(0), max_len: None, depth: 0, element: 0, has_ends: false };
        Self { form, parts, open: Some(0), longest: Some(longest), variants: 0 }
    }

    /// A named field.
    pub const fn field<T: Message>(self, name: &str) -> Self {
        let form = self.form.byte(FIELD).text(name).child(T::FINGERPRINT);
        Self { form, ..self }.part(T::SHAPE)
    }

    /// A field without a name.
    pub const fn item<T: Message>(self) -> Self {
        let form = self.form.byte(ITEM).child(T::FINGERPRINT);
        Self { form, ..self }.part(T::SHAPE)
    }

    /// The next variant; the fields and items after it are its own.
    pub const fn variant(self, name: &str) -> Self {
        Self {
            form: self.form.byte(VARIANT).text(name),
            longest: max(self.longest, self.open),
            open: Some(0),
            variants: self.variants + 1,
            ..self
        }
    }

    /// The finished shape.
    ///
    /// # Panics
    /// At compile time, if the type nests deeper than [`MAX_DEPTH`].
    pub const fn finish(self) -> Shape {
        let body = max(self.longest, self.open);
        let tag = if self.variants == 0 { 0 } else { varint_len(self.variants - 1) };
        Shape::of(self.form.byte(CLOSE)).holding(&[self.parts]).limited(add(Some(tag), body))
    }

    const fn part(mut self, part: Shape) -> Self {
        self.parts.depth = larger(self.parts.depth, part.depth);
        self.parts.element = larger(self.parts.element, part.element);
        self.parts.has_ends |= part.has_ends;
        self.open = add(self.open, part.max_len);
        self
    }
}

/// The canonical form of `spec/types.md`, hashed as it is written.
#[derive(Clone, Copy, Debug)]
struct Form(Sha256);

//= spec/types.md#canonical-form
//# Every form begins with the eight ASCII bytes `netchan1`, then one byte for the kind.
const LEAF: u8 = 0x01;
const BOUNDED: u8 = 0x02;
const OPTION: u8 = 0x03;
const RESULT: u8 = 0x04;
const ARRAY: u8 = 0x05;
const LIST: u8 = 0x06;
const MAP: u8 = 0x07;
const TUPLE: u8 = 0x08;
const STRUCT: u8 = 0x09;
const ENUM: u8 = 0x0a;
const END_OF_CHANNEL: u8 = 0x0b;

const CLOSE: u8 = 0x00;
const ITEM: u8 = 0x01;
const FIELD: u8 = 0x02;
const VARIANT: u8 = 0x03;

const fn form(kind: u8) -> Form {
    Form(Sha256::new().with(b"netchan1").with(&[kind]))
}

impl Form {
    const fn byte(self, byte: u8) -> Self {
        Self(self.0.with(&[byte]))
    }

    const fn number(self, number: usize) -> Self {
        assert!(number <= u32::MAX as usize, "lengths in a type fit 32 bits");
        Self(self.0.with(&(number as u32).to_le_bytes()))
    }

    const fn text(self, text: &str) -> Self {
        Self(self.number(text.len()).0.with(text.as_bytes()))
    }

    const fn child(self, fingerprint: Fingerprint) -> Self {
        Self(self.0.with(&fingerprint.get().to_le_bytes()))
    }

    const fn finish(self) -> Fingerprint {
        let digest = self.0.finish();
        let first_eight = ((digest[0] as u64) << 32 | digest[1] as u64).to_be_bytes();
        Fingerprint::new(u64::from_le_bytes(first_eight))
    }
}

const fn larger(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

const fn add(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    match (a, b) {
        (Some(a), Some(b)) => a.checked_add(b),
        _ => None,
    }
}

const fn max(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    match (a, b) {
        (Some(a), Some(b)) => Some(larger(a, b)),
        _ => None,
    }
}

const fn varint_len(value: usize) -> usize {
    let mut rest = value >> 7;
    let mut len = 1;
    while rest != 0 {
        rest >>= 7;
        len += 1;
    }
    len
}
