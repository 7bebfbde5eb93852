// musicgen-rt for Bitwig Studio: the daemon follows tempo and transport; a scene's name is the prompt.
//
// Copy the file into "Bitwig Studio/Controller Scripts/musicgen-rt", then add the controller in the
// settings (Controllers, Add, musicgen-rt). Scenes whose name begins with a minus sign are left out.
// Bitwig shows when the daemon is found and when it is gone; one that comes back is told all again.

loadAPI(18);
host.setShouldFailOnDeprecatedUse(true);
host.defineController(
  "musicgen-rt", "musicgen-rt", "0.1.0",
  "5b1b8f0e-6c0f-4c0f-9d55-0d6b7d3f6a31", "The musicgen-rt developers"
);

var NUM_SCENES = 16;
// Heartbeats come once a second.
var SILENCE_MS = 3500;
var LOOK_MS = 2000;
var RENEW_MS = 10000;

function init() {
  var preferences = host.getPreferences();
  var portOf = function (label, usual) {
    // Connections can be made in init only: another port holds from the next start on.
    return Math.round(preferences.getNumberSetting(label, "Daemon", 1024, 65535, 1, "", usual).getRaw());
  };
  var port = portOf("OSC port", 9120);
  var ownPort = portOf("Port for answers", 9125);
  var osc = host.getOscModule();
  var ears = osc.createAddressSpace();
  var daemon = osc.connectToUdpServer("127.0.0.1", port, osc.createAddressSpace());
  var send = function (address) {
    try {
      daemon.sendMessage.apply(daemon, arguments);
    } catch (error) {
      host.println(address + " was not sent: " + error);
    }
  };

  // What the daemon was told last, by what it is about.
  var told = {};
  var tell = function (name) {
    told[name] = Array.prototype.slice.call(arguments, 1);
    send.apply(null, told[name]);
  };

  watch(osc, ears, ownPort, send, function (isHere) {
    var absent = "nobody answers at port " + port + ": start the daemon with musicgen-rt jam";
    host.showPopupNotification("musicgen-rt: " + (isHere ? "connected" : absent));
    if (isHere) for (var name in told) send.apply(null, told[name]);
  });

  var transport = host.createTransport();
  transport.tempo().value().addRawValueObserver(function (bpm) {
    tell("tempo", "/mgrt/clock/tempo", bpm);
  });
  transport.isPlaying().addValueObserver(function (isPlaying) {
    tell("transport", isPlaying ? "/mgrt/transport/play" : "/mgrt/transport/stop");
  });

  // The scene of which a clip of the first track plays.
  var tracks = host.createMainTrackBank(1, 0, NUM_SCENES);
  var scenes = tracks.sceneBank();
  for (var n = 0; n < NUM_SCENES; n++) scenes.getScene(n).name().markInterested();
  tracks.getItemAt(0).clipLauncherSlotBank().addIsPlayingObserver(function (index, isPlaying) {
    var name = scenes.getScene(index).name().get();
    if (isPlaying && name !== "" && name.charAt(0) !== "-") tell("prompt", "/mgrt/prompt/set", 0, name);
  });
}

// Subscribe until heartbeats come, and again when they stay away; `say` hears of both.
function watch(osc, ears, ownPort, send, say) {
  var heardMs = Date.now();
  var renewedMs = 0;
  var isHere = null;
  ears.registerMethod("/mgrt/heartbeat", "*", "the daemon is there", function (source, message) {
    heardMs = Date.now();
    if (isHere !== true) say((isHere = true));
  });
  osc.createUdpServer(ears).start(ownPort);
  var look = function () {
    var nowMs = Date.now();
    if (isHere !== false && nowMs - heardMs > SILENCE_MS) say((isHere = false));
    // Any message keeps the subscription. Bitwig hears on another port than it sends from.
    if (!isHere || nowMs - renewedMs > RENEW_MS) {
      renewedMs = nowMs;
      send("/mgrt/notify", 1, "@" + ownPort);
    }
    host.scheduleTask(look, LOOK_MS);
  };
  look();
}

function flush() {}

function exit() {}
