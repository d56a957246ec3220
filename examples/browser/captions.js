// Captions in a page of your own. Tallyroom sends each as a text stream in the speaker's name; a new
// stream with the same segment id replaces the text of the one before, until one is marked final.

const TOPIC = "lk.transcription";

/**
 * Show a room's captions in a list, one item a segment:
 *
 *     <li data-segment="SG_..." data-final="true"><b>Alice</b> <span>What she said.</span></li>
 *
 * Call it before `room.connect`, or the first are missed.
 *
 * @param room livekit-client's Room.
 * @param list an <ol> or <ul>.
 */
export function showCaptions(room, list) {
  const lines = new Map(); // by segment id
  const names = namesIn(room);

  function lineOf(segment, identity) {
    let line = lines.get(segment);
    if (!line) {
      const item = document.createElement("li");
      const [name, words] = ["b", "span"].map((tag) => document.createElement(tag));
      item.dataset.segment = segment;
      item.dataset.speaker = identity;
      item.append(name, " ", words);
      line = { item, name, words, stream: "" };
      lines.set(segment, line);
    }
    return line;
  }

  async function read(reader, { identity }) {
    const { id, attributes } = reader.info;
    const line = lineOf(attributes["lk.segment_id"] ?? id, identity);
    if (line.item.dataset.final === "true") return;
    line.stream = id;
    let text = "";
    for await (const chunk of reader) {
      if (line.stream !== id) return; // a newer one has begun
      text += chunk;
      keepAtEnd(list, () => {
        // As text, never as HTML: it is what somebody said, and what they call themselves.
        line.name.textContent = names.of(identity);
        line.words.textContent = text;
        line.item.dataset.final = attributes["lk.transcription_final"] ?? "true";
        if (!line.item.isConnected) append(list, line.item);
      });
    }
    // A sound that was taken for words: nothing was said.
    if (!text && attributes["lk.transcription_final"] === "true") line.item.remove();
  }

  room.registerTextStreamHandler(TOPIC, (reader, from) => {
    // A stream that our own connection cuts short leaves the line as it was.
    read(reader, from).catch(() => {});
  });
}

// Captions come after their speaker has left, too: names are remembered.
function namesIn(room) {
  const known = new Map();
  const note = (one) => one.identity && known.set(one.identity, one.name || one.identity);
  room.on("participantConnected", note);
  room.on("participantNameChanged", (_, one) => note(one));
  room.on("connected", () => {
    [room.localParticipant, ...room.remoteParticipants.values()].forEach(note);
  });
  return { of: (identity) => known.get(identity) ?? identity };
}

function append(list, item) {
  const goesOn = list.lastElementChild?.dataset.speaker === item.dataset.speaker;
  item.classList.toggle("goes-on", goesOn);
  list.append(item);
}

// Whoever has scrolled up to read stays there.
function keepAtEnd(list, change) {
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  change();
  if (isAtEnd) list.scrollTop = list.scrollHeight;
}
