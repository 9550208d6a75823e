//! Nodes by their names.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Entry, Tree};

impl Tree {
    /// The node that a path leads to from here, if it is this one or below: names of children with
    /// `/` between. The first may be this node's own; a path that begins with `/` begins at the
    /// root, and is found there only. Of two children of the same name the later one is meant.
    pub fn find(&self, path: &str) -> Option<u32> {
        let from_root = path.strip_prefix('/');
        if from_root.is_some() && self.parent.is_some() {
            return None;
        }
        let path = from_root.unwrap_or(path);
        if path.is_empty() {
            return Some(self.id);
        }
        if let Some(id) = self.find_below(self.id, path) {
            return Some(id);
        }
        match path.split_once('/') {
            Some((own, rest)) if own == self.name.as_str() => self.find_below(self.id, rest),
            None if path == self.name.as_str() => Some(self.id),
            _ => None,
        }
    }

    fn find_below(&self, from: u32, path: &str) -> Option<u32> {
        path.split('/').try_fold(from, |id, name| {
            let named = |entry: &Entry| entry.via == id && entry.name.as_str() == name;
            self.routes.iter().filter(named).map(|entry| entry.id).max()
        })
    }

    /// The path from here to a node below.
    pub fn path_of(&self, id: u32) -> Option<String> {
        let mut names = Vec::new();
        let mut at = id;
        while at != self.id {
            let entry = self.routes.get(at)?;
            names.push(entry.name);
            at = entry.via;
        }
        let names: Vec<&str> = names.iter().rev().map(crate::proto::Name::as_str).collect();
        Some(names.join("/"))
    }
}
