"""The script that imports exported cells into QuPath (0.4 and later)."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

import orjson

from pathology.report.job import ExportJob

__all__ = ["import_script"]

_SCRIPT: Final = """\
// Imports what `her2 export --to geojson` wrote into the image that is open in QuPath.
// Research use only.
//
// In QuPath: Automate > Script editor, open this file, set `place`, and run it; or, for all images
// of a project, Run > Run for project. Without a window:
//   QuPath script import_her2.groovy --project P/project.qpproj --args /where/the/files/are --save
//
// `place` is a file of the export, or the folder that holds it. In a folder the file is found by
// the image's name. An export under pseudonyms holds no names: then name the file itself.
import java.util.zip.GZIPInputStream
import qupath.lib.common.GeneralTools
import qupath.lib.io.PathIO

String place = args.size() > 0 ? args[0] : buildFilePath(PROJECT_BASE_DIR, 'geojson')
boolean summary = false      // true: one rectangle per tile in place of every cell
boolean clear = true         // remove what an earlier import left

def FILES = new groovy.json.JsonSlurper().parseText('''@FILES@''')

def image = GeneralTools.getNameWithoutExtension(getCurrentServer().getMetadata().getName())
def ending = summary ? '.summary.geojson' : '.geojson.gz'
def file = new File(place)
if (file.isDirectory()) {
    def name = FILES[image]
    if (name == null) {
        println "No file of this export belongs to ${image}: name the file itself."
        return
    }
    file = new File(file, name + ending)
}
if (!file.exists()) {
    println "There is no file ${file}"
    return
}
if (clear) {
    clearDetections()
}
// QuPath's own import does not unpack gzip: this does.
def stream = new BufferedInputStream(new FileInputStream(file))
if (file.getName().endsWith('.gz')) {
    stream = new GZIPInputStream(stream)
}
def objects = stream.withCloseable { PathIO.readObjectsFromGeoJSON(it) }
addObjects(objects)
fireHierarchyUpdate()
println "${objects.size()} objects from ${file.getName()}"
"""


def import_script(job: ExportJob) -> str:
    """Return the script of an export.

    Parameters
    ----------
    job
        The slides. Their image names are written into the script where names are exported as they
        are; under pseudonyms the script knows no name.
    """
    files = {}
    if job.names is None:
        files = {PurePosixPath(s.result.path).stem: s.result.slide_id for s in job.slides}
    # Within a Groovy text of three apostrophes, these and backslashes end or change the text.
    text = orjson.dumps(files).decode().replace("'", r"\u0027").replace("\\", "\\\\")
    return _SCRIPT.replace("@FILES@", text)
