//! What containerd, kubelet and the Pods' network are told.

use std::path::Path;
use std::time::Duration;

use super::capsule::{NAMES_ADDRESS, NODE_ADDRESS};

/// Of the image that holds a Pod's namespaces.
pub(super) const PAUSE: &str = "localhost/pause:1";

/// Pods on a bridge inside the capsule. They reach the API server at an address of the bridge's own machine, so nothing is translated.
pub(super) fn network(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"{{"cniVersion":"0.4.0","name":"pods","plugins":[{{"type":"bridge","bridge":"pods0","isGateway":true,"ipMasq":false,
"ipam":{{"type":"host-local","dataDir":"{folder}/addresses","ranges":[[{{"subnet":"10.251.0.0/24"}}]],"routes":[{{"dst":"0.0.0.0/0"}}]}}}}]}}
"#
    )
}

/// containerd, with its state in `folder`. Registries are configured in `folder/registries`.
pub(super) fn containerd(folder: &Path, runc: &Path) -> String {
    let (folder, runc) = (folder.display(), runc.display());
    format!(
        r#"version = 2
root = "{folder}/containerd"
state = "{folder}/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  # Else every Pod fails where CAP_SYS_RESOURCE is missing.
  restrict_oom_score_adj = true
  disable_apparmor = true
  tolerate_missing_hugetlb_controller = true
  disable_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{folder}/registries"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/network"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "{runc}"
        SystemdCgroup = false
"#
    )
}

/// kubelet, which trusts the authority in `authority` and puts its control groups below `/{groups}`.
pub(super) fn kubelet(folder: &Path, authority: &Path, groups: &str, sync: Duration) -> String {
    let (folder, authority, sync) = (folder.display(), authority.display(), sync.as_secs());
    format!(
        r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {NODE_ADDRESS}
healthzBindAddress: 127.0.0.1
readOnlyPort: 0
containerRuntimeEndpoint: unix://{folder}/containerd.sock
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: "{authority}"}}}}
authorization: {{mode: Webhook}}
cgroupDriver: cgroupfs
cgroupRoot: /{groups}
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
protectKernelDefaults: false
clusterDNS: ["{NAMES_ADDRESS}"]
clusterDomain: cluster.local
# A shared machine's disk is often nearly full, and that is not what is tested here.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {{memory.available: "50Mi", nodefs.available: "1%", imagefs.available: "1%", nodefs.inodesFree: "0%", imagefs.inodesFree: "0%"}}
syncFrequency: {sync}s
resolvConf: ""
registerNode: true
podLogsDir: {folder}/pod-logs
volumePluginDir: {folder}/volume-plugins
"#
    )
}
