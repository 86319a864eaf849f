//! Files that a function has left, which may have put anything in their place.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

/// What to do with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Read what it names.
    Follow,
    /// Refuse it: it could name a file that is none of the attempt's.
    Refuse,
}

/// At most `max` bytes of a regular file. Anything else is refused without being opened: to open a FIFO
/// waits for somebody who writes to it, and to open a device may do anything.
pub fn read(path: &Path, links: Links, max: u64) -> Result<Vec<u8>> {
    let found = match links {
        Links::Follow => path.metadata(),
        Links::Refuse => path.symlink_metadata(),
    };
    let regular = |is_file: bool| match is_file {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::InvalidInput, "it is no regular file")),
    };
    regular(found?.is_file())?;
    // Whatever has taken its place since is not waited for.
    let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    flags.set(OFlags::NOFOLLOW, links == Links::Refuse);
    let file = File::from(open(path, flags, Mode::empty())?);
    regular(file.metadata()?.is_file())?;
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_read_as_far_as_it_may_be_and_nothing_else_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&file, "text").expect("written");
        symlink(&file, &link).expect("linked");
        assert_eq!(read(&file, Links::Refuse, 3).expect("a file"), b"tex");
        assert_eq!(read(&link, Links::Follow, 9).expect("a file"), b"text");
        let why = |path: &Path, links| read(path, links, 9).expect_err("it is none").kind();
        assert_eq!(why(&link, Links::Refuse), ErrorKind::InvalidInput);
        assert_eq!(why(dir.path(), Links::Follow), ErrorKind::InvalidInput);
        assert_eq!(why(Path::new("/dev/null"), Links::Follow), ErrorKind::InvalidInput);
        assert_eq!(why(&dir.path().join("none"), Links::Follow), ErrorKind::NotFound);
    }
}
