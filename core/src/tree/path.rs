//! Nodes by their names.

use alloc::string::String;
use alloc::vec::Vec;

use super::Tree;
use crate::proto::PATH_MAX;

impl Tree {
    /// The node that a path leads to, if it is this one or below: names of children with
    /// `/` between. The first may be that of the node where it begins, and is that before it is a child's. A path that begins
    /// with `/` begins at the root, others here, or else at the first node above where it leads somewhere. Of two children of
    /// the same name the one is meant that was there first.
    ///
    /// What is meant by a node above is known here as well where it is below this one: what has gone up to be looked up never
    /// comes back the same way.
    pub fn find(&self, path: &str) -> Option<u32> {
        match path.strip_prefix('/') {
            Some(path) if self.parent.is_some() => self.find_from(0, path)?,
            Some(path) => self.find_here(path),
            None => self.find_here(path).or_else(|| {
                // From the parent to the root, until one of them has to be asked.
                (0..self.above.as_slice().len())
                    .rev()
                    .map_while(|level| self.find_from(level, path))
                    .flatten()
                    .next()
            }),
        }
    }

    fn find_here(&self, path: &str) -> Option<u32> {
        if path.is_empty() || path == self.name.as_str() {
            return Some(self.id);
        }
        self.find_below(without_own(path, self.name.as_str()).split('/'))
    }

    fn find_below<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> Option<u32> {
        names.try_fold(self.id, |id, name| self.routes.named(id, name))
    }

    /// What a path means to the node so far from the root: none, where that leads to this one or below and there is no such
    /// node; and `None` where it leads elsewhere, or that is not known here.
    fn find_from(&self, level: usize, path: &str) -> Option<Option<u32>> {
        if self.place.is_empty() {
            return None;
        }
        let mut place = self.place.split('/').skip(level);
        let start = place.next().filter(|start| path != *start)?;
        let mut names = without_own(path, start).split('/');
        for name in place {
            names.next().filter(|next| *next == name)?;
        }
        Some(self.find_below(names))
    }

    /// The names from the root to this node, where those above are these.
    pub(super) fn place_below(&self, above: &str) -> String {
        let is_whole = above.split('/').count() == self.above.as_slice().len();
        let fits = above.len() + 1 + self.name.as_str().len() <= PATH_MAX;
        if above.is_empty() || !is_whole || !fits {
            return String::new();
        }
        [above, self.name.as_str()].join("/")
    }

    /// The path from here to a node below; `None` where another one has the name of a node on it.
    pub fn path_of(&self, id: u32) -> Option<String> {
        let mut names = Vec::new();
        let mut at = id;
        while at != self.id {
            let entry = self.routes.get(at)?;
            if self.routes.named(entry.via, entry.name.as_str()) != Some(at) {
                return None;
            }
            names.push(entry.name);
            at = entry.via;
        }
        let names: Vec<&str> = names.iter().rev().map(crate::proto::Name::as_str).collect();
        Some(names.join("/"))
    }
}

/// A path without the name of the node where it begins.
fn without_own<'a>(path: &'a str, own: &str) -> &'a str {
    match path.split_once('/') {
        Some((first, rest)) if first == own => rest,
        _ => path,
    }
}
