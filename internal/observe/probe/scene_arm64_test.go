package probe

var archScenes []scene
