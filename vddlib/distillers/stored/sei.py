"""H.264 streams without supplemental enhancement information (SEI), which no decoder needs."""

import io


def without_sei(data: bytes) -> bytes:
    """An MP4 of H.264 less its SEI messages; pictures, rate and times stay.

    x264 writes its version and all its options into every stream: 600 bytes, more than many a small clip takes.
    """
    import av
    from av.bitstream import BitStreamFilterContext

    buffer = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(buffer, "w", format="mp4") as target:
        track = target.add_stream_from_template(source.streams.video[0])
        removing = BitStreamFilterContext("filter_units=remove_types=6", source.streams.video[0], track)
        packets = [
            packet for packet in source.demux(video=0) if packet.size
        ]  # the last only says that there is no more
        for packet in [*packets, None]:
            for kept in removing.filter(packet):
                kept.stream = track
                target.mux(kept)
    return buffer.getvalue()
