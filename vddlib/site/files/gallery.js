// All videos of a page start together and stay together, so that the same moment of every method is seen at once.
"use strict";
(() => {
  const videos = [...document.querySelectorAll(".gallery video")];
  const button = document.getElementById("gallery-play");
  if (!videos.length || !button) return;
  let playing = false;
  const set = (on) => {
    playing = on;
    button.textContent = on ? "Pause all" : "Play all";
    for (const video of videos) on ? video.play().catch(() => {}) : video.pause();
  };
  button.onclick = () => set(!playing);
  setInterval(() => {
    if (!playing) return;
    const now = videos[0].currentTime;
    for (const video of videos.slice(1)) if (Math.abs(video.currentTime - now) > 0.15) video.currentTime = now;
  }, 500);
  if (!window.matchMedia("(prefers-reduced-motion: reduce)").matches) set(true);
})();
