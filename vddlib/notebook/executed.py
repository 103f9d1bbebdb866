"""Executed notebooks as readers get them: printed lines settled, and after a failure the true status of each cell."""

from pathlib import Path


def last_state(line: str) -> str:
    """What a terminal shows in the end of a line that carriage returns updated."""
    return line.rstrip("\r").rpartition("\r")[2].rstrip()


def settle(notebook) -> None:
    """Make one output of what was printed in one go, and keep only the last state of lines that were updated by carriage
    returns: viewers differ in what they do with either."""
    for cell in notebook.cells:
        merged = []
        for output in cell.get("outputs", ()):
            if output.output_type == "stream" and merged and merged[-1].get("name") == output.name:
                merged[-1].text += output.text
            else:
                merged.append(output)
        for output in merged:
            if output.output_type == "stream" and "\r" in output.text:
                output.text = "\n".join(map(last_state, output.text.split("\n")))
        if "outputs" in cell:  # a line that was wiped leaves nothing
            cell.outputs = [one for one in merged if one.output_type != "stream" or one.text.strip()]


def mark(partial: Path, failure, kept: Path):
    """Keep the executed cells with their true status: papermill marks the cells after a dead kernel as completed too."""
    import nbformat

    content = nbformat.read(partial, as_version=4)
    for cell in content.cells:
        about = cell.metadata.get("papermill", {})
        if cell.cell_type == "code" and about.get("start_time") is None:
            about["status"] = "pending"
    if failure.name == "KernelDied":
        cell = content.cells[failure.index]
        cell.metadata.papermill.update(exception=True, status="failed")
        cell.outputs.append(
            nbformat.v4.new_output("error", ename=failure.name, evalue=failure.message, traceback=[failure.message])
        )
    nbformat.write(content, kept)
