// Saves the frame that is shown as a PNG, as large as it is.

/** Has the browser download what the canvas of this stream shows. */
export async function saveSnapshot(stream, canvas) {
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  if (!blob) return; // nothing was drawn on it yet
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${stream}-${new Date().toISOString().replace(/[-:]|\.\d+/g, "")}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
