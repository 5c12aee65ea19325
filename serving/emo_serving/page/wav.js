// A WAV file of blocks of 16-bit samples, mono.
const HEADER = 44;

export function wavFile(blocks, sampleRate, name) {
  const size = 2 * blocks.reduce((sum, block) => sum + block.length, 0);
  const head = new DataView(new ArrayBuffer(HEADER));
  const text = (offset, letters) => {
    [...letters].forEach((letter, n) => head.setUint8(offset + n, letter.charCodeAt(0)));
  };
  text(0, "RIFF");
  head.setUint32(4, HEADER - 8 + size, true);
  text(8, "WAVEfmt ");
  head.setUint32(16, 16, true); // length of the format
  head.setUint16(20, 1, true); // PCM
  head.setUint16(22, 1, true); // channels
  head.setUint32(24, sampleRate, true);
  head.setUint32(28, 2 * sampleRate, true); // bytes in a second
  head.setUint16(32, 2, true); // bytes of a frame
  head.setUint16(34, 16, true); // bits of a sample
  text(36, "data");
  head.setUint32(40, size, true);
  return new File([head, ...blocks], name, { type: "audio/wav" });
}
