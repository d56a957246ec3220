// A meeting in a page: join, speak, hear the others, read everybody, write to them.
//
//     ?room=standup&name=Alice[&identity=alice][&microphone=off]

import { showCaptions } from "./captions.js";
import { showChat } from "./chat.js";

const { Room } = LivekitClient;
const asked = new URLSearchParams(location.search);
const on = (id) => document.getElementById(id);

// Muted, the microphone is released, not just unheard: the browser's sign for it goes out.
const room = new Room({ publishDefaults: { stopMicTrackOnMute: true } });
showCaptions(room, on("captions"));
showChat(room, on("messages"), on("write"));

on("room").textContent = document.title = asked.get("room") ?? "no room: add ?room=standup";
on("join").onclick = join;
on("microphone").onclick = () => setMicrophone(!room.localParticipant.isMicrophoneEnabled);

room
  .on("connectionStateChanged", (state) => (on("status").textContent = state))
  .on("trackSubscribed", (track) => track.attach())
  .on("trackUnsubscribed", (track) => track.detach())
  .on("participantConnected", showPeople)
  .on("participantDisconnected", showPeople)
  .on("connected", showPeople)
  .on("reconnected", showPeople);

async function join() {
  on("join").hidden = true;
  try {
    const answer = await fetch(`token${location.search}`);
    if (!answer.ok) throw new Error(await answer.text());
    const { url, token } = await answer.json();
    await room.connect(url, token);
    if (asked.get("microphone") !== "off") await setMicrophone(true);
  } catch (error) {
    on("status").textContent = error.message;
    on("join").hidden = false;
  }
}

async function setMicrophone(enabled) {
  const button = on("microphone");
  button.disabled = true;
  try {
    await room.localParticipant.setMicrophoneEnabled(enabled);
  } finally {
    button.textContent = room.localParticipant.isMicrophoneEnabled ? "Mute" : "Unmute";
    button.disabled = button.hidden = false;
  }
}

function showPeople() {
  const people = [room.localParticipant, ...room.remoteParticipants.values()];
  on("people").textContent = people
    .map((one) => (one.isAgent ? "transcriber" : one.name || one.identity))
    .join(", ");
}

// For the console: `room.simulateScenario("full-reconnect")`.
window.room = room;
