//! Bytes of the program and of the image.

use crate::process::file_size;
use crate::table::{Goal, Row, Table, Unit, bytes, number};
use crate::{Setting, image};

const MEGABYTE: f64 = 1_000_000.0;

/// The program as it stands in the image, or as this machine can build it; with small numbers the one that there is already.
pub fn measure(setting: &Setting, table: &mut Table) -> anyhow::Result<()> {
    let (program, obstacle) = if setting.quick {
        (setting.program.clone(), None)
    } else {
        let built = image::operator()?;
        let obstacle = built.obstacle();
        (built.path, obstacle)
    };
    let size = bytes(file_size(&program)?) / MEGABYTE;
    let how = obstacle.unwrap_or_else(|| "static, as in the image".to_owned());
    let how = if setting.quick { "as cargo built it beside this program".to_owned() } else { how };
    table.row(&Row::new("size: program", Unit::Megabytes, vec![size]).goal(Goal::AtMost(12.0)).note(how));
    let image = number(image::image(&program)?.size()) / MEGABYTE;
    table.row(
        &Row::new("size: image, uncompressed", Unit::Megabytes, vec![image]).goal(Goal::AtMost(number(image::MOST) / MEGABYTE)),
    );
    Ok(())
}
