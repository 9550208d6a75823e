//! What an opener asks for.

use super::FrameError;
use super::fields::{Reader, Writer};
use super::text::{NAME_MAX, PATH_MAX, TYPE_NAME_MAX, cut, is_channel_name, is_path};

/// Most fingerprints in an open.
pub(crate) const FINGERPRINTS_MAX: usize = 4;

/// What an opener asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "its fields are the frame's; later ones stand in the tail")]
pub struct Open<'a> {
    /// Direction and kind.
    pub flags: OpenFlags,
    /// How long the opener waits for the export to appear, in milliseconds; 0: not at all.
    pub wait_ms: u32,
    /// Bytes granted to the acceptor from the start.
    pub credit: u32,
    /// Longest message that the opener takes, in bytes.
    pub limit: u32,
    /// The opener takes this many values and then wants an orderly end; 0: no such limit.
    pub values: u32,
    /// Full name of the export.
    pub name: &'a str,
    /// One to four accepted fingerprints.
    pub fingerprints: Fingerprints,
    /// Readable name of the opener's type.
    pub type_name: &'a str,
    /// Where in the tree the circuit leads; `None` between neighbours.
    pub route: Option<Route<'a>>,
    /// The opener's only message, at most 255 bytes: the open carries it, and is the end behind it as well.
    pub body: Option<&'a [u8]>,
}

/// Where an open comes from in a tree, and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "its fields are the frame's; later ones stand in the tail")]
pub struct Route<'a> {
    /// Id of the node that opens.
    pub from: u32,
    /// Links that it has passed before this one.
    pub hops: u8,
    /// Id of the node that it is for; 0 where the path says it.
    pub to: u32,
    /// Names of nodes with `/` between, at most 128 bytes; empty where the id says it.
    pub path: &'a str,
}

/// One to four fingerprints, in the opener's order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprints {
    list: [u64; FINGERPRINTS_MAX],
    len: u8,
}

impl Fingerprints {
    /// From a list; those beyond four are left out.
    pub fn new(first: u64, others: &[u64]) -> Self {
        let mut list = [first, 0, 0, 0];
        let n = others.len().min(FINGERPRINTS_MAX - 1);
        list[1..=n].copy_from_slice(&others[..n]);
        Self { list, len: n as u8 + 1 }
    }

    /// As a slice, never empty.
    pub fn as_slice(&self) -> &[u64] {
        self.list.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// Direction and kind of a circuit, as its opener sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFlags(u8);

impl OpenFlags {
    /// Nothing set: a plain stream of values, before its direction is added.
    pub const NONE: Self = Self(0);
    /// The opener sends.
    pub const SENDS: Self = Self(1);
    /// The opener receives.
    pub const RECEIVES: Self = Self(2);
    /// Both directions.
    pub const BOTH: Self = Self(3);
    /// Latest value only; older ones may be dropped.
    pub const LATEST: Self = Self(4);
    /// Calls: requests one way, replies the other.
    pub const CALLS: Self = Self(8);
    /// On the wire only: the open carries the opener's only message. [`Open::body`] says it otherwise.
    const BODY: u8 = 16;
    const KNOWN: u8 = 0x0f;

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The same kind, seen from the other side.
    #[must_use]
    pub const fn flipped(self) -> Self {
        Self(self.0 & !3 | (self.0 & 1) << 1 | (self.0 & 2) >> 1)
    }

    /// For the wire.
    pub const fn get(self) -> u8 {
        self.0
    }

    const fn parse(byte: u8) -> Result<Self, FrameError> {
        if byte & !Self::KNOWN != 0 || byte & 3 == 0 {
            return Err(FrameError::Value);
        }
        Ok(Self(byte))
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn open(&mut self) -> Open<'a> {
        let flags = self.byte();
        self.open_as(flags)
    }

    /// The fields behind the flags.
    fn open_as(&mut self, flags: u8) -> Open<'a> {
        let flags = OpenFlags::parse(flags).unwrap_or_else(|error| {
            self.fail(error);
            OpenFlags::NONE
        });
        let (wait_ms, credit) = (self.number(), self.number());
        let (limit, values) = (self.number(), self.number());
        let name = self.text(NAME_MAX);
        if !name.is_empty() && !is_channel_name(name, true) {
            self.fail(FrameError::Text);
        }
        let len = self.byte();
        if len == 0 || usize::from(len) > FINGERPRINTS_MAX {
            self.fail(FrameError::Value);
        }
        let mut list = [0; FINGERPRINTS_MAX];
        for slot in list.iter_mut().take(usize::from(len)) {
            *slot = self.raw(8).first_chunk().map_or(0, |&raw| u64::from_le_bytes(raw));
        }
        let type_name = self.text(TYPE_NAME_MAX);
        let fingerprints = Fingerprints { list, len: len.min(FINGERPRINTS_MAX as u8) };
        Open { flags, wait_ms, credit, limit, values, name, fingerprints, type_name, route: None, body: None }
    }

    /// As [`Reader::open`], of one with a name (only an attached end has none), and with what says where in a
    /// tree it leads.
    #[cfg(feature = "bridge")]
    pub(crate) fn routed_open(&mut self) -> Open<'a> {
        let flags = self.byte();
        self.routed_open_as(flags)
    }

    fn routed_open_as(&mut self, flags: u8) -> Open<'a> {
        let open = self.open_as(flags);
        if open.name.is_empty() {
            self.fail(FrameError::Text);
        }
        if self.rest.is_empty() {
            return open;
        }
        let from = self.number();
        if from == 0 {
            // What a later version may have to say, or a message.
            return open;
        }
        let (hops, to) = (self.byte(), self.number());
        let path = self.text(PATH_MAX);
        if (to == 0) == path.is_empty() || !path.is_empty() && !is_path(path) {
            self.fail(FrameError::Value);
        }
        Open { route: Some(Route { from, hops, to, path }), ..open }
    }

    /// As [`Reader::routed_open`], of one that may carry its opener's only message.
    pub(crate) fn carrying_open(&mut self) -> Open<'a> {
        let flags = self.byte();
        let open = self.routed_open_as(flags & !OpenFlags::BODY);
        if flags & OpenFlags::BODY == 0 {
            return open;
        }
        // Of a latest value there is no last one.
        if !open.flags.has(OpenFlags::SENDS) || open.flags.has(OpenFlags::LATEST) {
            self.fail(FrameError::Value);
        }
        let len = self.byte();
        Open { body: Some(self.raw(usize::from(len))), ..open }
    }
}

impl Writer<'_> {
    pub(super) fn open(&mut self, open: &Open<'_>) -> Result<&mut Self, FrameError> {
        if !open.name.is_empty() && !is_channel_name(open.name, true) {
            return Err(FrameError::Text);
        }
        let body = if open.body.is_some() { OpenFlags::BODY } else { 0 };
        self.byte(open.flags.get() | body)?
            .number(open.wait_ms)?
            .number(open.credit)?
            .number(open.limit)?
            .number(open.values)?;
        self.text(open.name, NAME_MAX)?.byte(open.fingerprints.len)?;
        for fingerprint in open.fingerprints.as_slice() {
            self.raw(&fingerprint.to_le_bytes())?;
        }
        self.text(cut(open.type_name, TYPE_NAME_MAX), TYPE_NAME_MAX)
    }

    /// Behind an open: where in a tree it leads, and the message that it carries.
    pub(super) fn route(&mut self, open: &Open<'_>) -> Result<&mut Self, FrameError> {
        match (open.route, open.body) {
            (Some(route), _) => self.way(&route)?,
            (None, Some(_)) => self.number(0)?,
            (None, None) => self,
        };
        let Some(body) = open.body else { return Ok(self) };
        let fits = open.flags.has(OpenFlags::SENDS) && !open.flags.has(OpenFlags::LATEST);
        match u8::try_from(body.len()) {
            Ok(len) if fits => self.byte(len)?.raw(body),
            _ => Err(FrameError::Value),
        }
    }

    fn way(&mut self, route: &Route<'_>) -> Result<&mut Self, FrameError> {
        if route.from == 0
            || (route.to == 0) == route.path.is_empty()
            || !route.path.is_empty() && !is_path(route.path)
        {
            return Err(FrameError::Value);
        }
        self.number(route.from)?.byte(route.hops)?.number(route.to)?.text(route.path, PATH_MAX)
    }
}
