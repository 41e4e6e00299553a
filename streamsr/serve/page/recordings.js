// A camera's recordings: listed by day, played one after the other, downloaded. Where the server has
// none of it, nothing is shown.

import { dayInWords, dayOf, lasts, localDays, timeOf, utcDays } from "./days.js";
import { ask, askOptional, named } from "./server.js";
import { $ } from "./words.js";

const RENEW_MS = 60_000;
const MEGABYTE = 1_000_000;

export class Recordings {
  constructor(stream) {
    this.address = named("api/v1/cameras", stream, "/recordings");
    this.days = []; // local ones that there may be recordings of, the newest first
    this.rows = []; // of the day that is shown, the newest first
    this.playing = ""; // the file that the player has
    this.video = $("recording");
    this.video.addEventListener("ended", () => this.next());
    this.video.addEventListener("error", () => this.say("This recording cannot be played"));
    $("day").addEventListener("change", () => this.show());
    $("earlier").addEventListener("click", () => this.turn(1));
    $("later").addEventListener("click", () => this.turn(-1));
  }

  async run() {
    await this.renew();
    setInterval(() => this.renew(), RENEW_MS);
  }

  /** Asks which days there are, and shows the newest, or again the one that is shown. */
  async renew() {
    const today = utcDays(dayOf(new Date()))[0];
    const found = await askOptional(`${this.address}?day=${today}`);
    if (!found?.days?.length) return;
    this.days = localDays(found.days);
    const options = this.days.map((day) => new Option(dayInWords(day), day));
    const chosen = $("day").value;
    $("day").replaceChildren(...options);
    if (this.days.includes(chosen)) $("day").value = chosen;
    $("recordings").hidden = false;
    await this.show();
  }

  turn(by) {
    $("day").selectedIndex += by;
    this.show();
  }

  async show() {
    const day = $("day").value;
    $("earlier").disabled = $("day").selectedIndex >= this.days.length - 1;
    $("later").disabled = $("day").selectedIndex <= 0;
    let lists;
    try {
      lists = await Promise.all(utcDays(day).map((utc) => ask(`${this.address}?day=${utc}`)));
    } catch (error) {
      this.say(error.message);
      return;
    }
    if ($("day").value !== day) return; // another was chosen meanwhile
    this.rows = lists.flatMap((list) => list.recordings)
      .filter((recording) => dayOf(new Date(recording.begin)) === day)
      .sort((a, b) => (a.begin < b.begin ? 1 : -1));
    this.list();
  }

  list() {
    $("files").replaceChildren(...this.rows.map((recording) => this.row(recording)));
    this.say(this.rows.length ? "" : "There is none of this day");
    this.mark();
  }

  row(recording) {
    const begin = new Date(recording.begin);
    const row = $("file").content.firstElementChild.cloneNode(true);
    const part = (name) => row.querySelector(`[data-part="${name}"]`);
    row.dataset.file = recording.file;
    part("time").textContent = timeOf(begin);
    part("time").dateTime = recording.begin;
    part("lasts").textContent = recording.open ? "being recorded" : lasts(recording.seconds);
    part("size").textContent = `${(recording.bytes / MEGABYTE).toFixed(1)} MB`;
    part("play").setAttribute("aria-label", `Play ${timeOf(begin)}`);
    part("play").addEventListener("click", () => this.play(recording));
    part("save").setAttribute("aria-label", `Download ${timeOf(begin)}`);
    part("save").href = `${this.file(recording)}?download=1`;
    return row;
  }

  file(recording) {
    return `${this.address}/${encodeURIComponent(recording.file)}`;
  }

  play(recording) {
    this.playing = recording.file;
    this.say("");
    this.video.hidden = false;
    this.video.src = this.file(recording);
    this.video.play().catch(() => {}); // its own controls are there
    this.video.scrollIntoView({ block: "nearest" });
    this.mark();
  }

  /** Plays what was recorded after what has ended. */
  next() {
    const index = this.rows.findIndex((recording) => recording.file === this.playing);
    if (index > 0) this.play(this.rows[index - 1]);
  }

  mark() {
    for (const row of $("files").children) {
      if (row.dataset.file === this.playing) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
  }

  say(text) {
    $("recordings-note").textContent = text;
  }
}
