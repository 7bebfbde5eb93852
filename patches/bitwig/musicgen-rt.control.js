// musicgen-rt for Bitwig Studio: the daemon follows tempo and transport; a scene's name is the prompt.
//
// Copy the file into "Bitwig Studio/Controller Scripts/musicgen-rt", then add the controller in the
// settings (Controllers, Add, musicgen-rt). Scenes whose name begins with a minus sign are left out.

loadAPI(18);
host.setShouldFailOnDeprecatedUse(true);
host.defineController(
  "musicgen-rt", "musicgen-rt", "0.1.0",
  "5b1b8f0e-6c0f-4c0f-9d55-0d6b7d3f6a31", "The musicgen-rt developers"
);

var NUM_SCENES = 16;

function init() {
  var preferences = host.getPreferences();
  var port = preferences.getNumberSetting("OSC port", "Daemon", 1024, 65535, 1, "", 9120);
  var osc = host.getOscModule();
  // Connections can be made in init only: another port holds from the next start on.
  var daemon = osc.connectToUdpServer("127.0.0.1", Math.round(port.getRaw()), osc.createAddressSpace());
  var send = function (address) {
    try {
      daemon.sendMessage.apply(daemon, arguments);
    } catch (error) {
      host.println(address + " was not sent: " + error);
    }
  };

  var transport = host.createTransport();
  transport.tempo().value().addRawValueObserver(function (bpm) {
    send("/mgrt/clock/tempo", bpm);
  });
  transport.isPlaying().addValueObserver(function (isPlaying) {
    send(isPlaying ? "/mgrt/transport/play" : "/mgrt/transport/stop");
  });

  // The scene of which a clip of the first track plays.
  var tracks = host.createMainTrackBank(1, 0, NUM_SCENES);
  var scenes = tracks.sceneBank();
  for (var n = 0; n < NUM_SCENES; n++) scenes.getScene(n).name().markInterested();
  tracks.getItemAt(0).clipLauncherSlotBank().addIsPlayingObserver(function (index, isPlaying) {
    var name = scenes.getScene(index).name().get();
    if (isPlaying && name !== "" && name.charAt(0) !== "-") send("/mgrt/prompt/set", 0, name);
  });
  host.println("musicgen-rt: sending to port " + Math.round(port.getRaw()));
}

function flush() {}

function exit() {}
