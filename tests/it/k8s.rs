//! Manifests: those of XProf's deployment guide run on our programs as they are, and ours hold together.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use xprof_skip::{Need, skip};
use xprof_tests::{LogDir, Process, free_port, program};

/// What the deployment guide tells its readers to apply, with our images' names.
const GUIDE: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: xprof-aggregator}
spec:
  replicas: 1
  selector: {matchLabels: {app: xprof-aggregator}}
  template:
    metadata: {labels: {app: xprof-aggregator}}
    spec:
      containers:
      - name: xprof-aggregator
        image: xprof-aggregator
        args:
        - --port=10000
        - --worker_service_address=dns:///xprof-worker-service.default.svc.cluster.local:8891
        - -gp=50051
        - --hide_capture_profile_button
        env:
        - {name: GRPC_LB_POLICY, value: round_robin}
        - {name: GRPC_DNS_RESOLVER, value: native}
        ports: [{containerPort: 10000}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: xprof-worker}
spec:
  replicas: 4
  selector: {matchLabels: {app: xprof-worker}}
  template:
    metadata: {labels: {app: xprof-worker}}
    spec:
      containers:
      - name: xprof-worker
        image: xprof-worker
        args: [--port=9999, -gp=8891, --hide_capture_profile_button]
        ports: [{containerPort: 8891}]
---
apiVersion: v1
kind: Service
metadata: {name: xprof-worker-service}
spec:
  clusterIP: None
  selector: {app: xprof-worker}
  ports: [{port: 80, targetPort: 8891}]
---
apiVersion: v1
kind: Service
metadata: {name: xprof-aggregator-service}
spec:
  type: NodePort
  selector: {app: xprof-aggregator}
  ports: [{port: 80, targetPort: 10000, nodePort: 30001}]
";

fn documents(yaml: &str) -> Vec<Value> {
    let parse = |d| serde::Deserialize::deserialize(d).unwrap_or_else(|e| panic!("{e}:\n{yaml}"));
    serde_yaml::Deserializer::from_str(yaml).map(parse).collect()
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> Vec<&'a Value> {
    documents.iter().filter(|d| d["kind"] == kind).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// What a pod tells its program.
struct Told {
    program: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Told {
    fn by(pod: &Value) -> Self {
        let container = &pod["containers"][0];
        let image = container["image"].as_str().unwrap();
        let name = image.rsplit('/').next().unwrap().split(':').next().unwrap();
        let arguments = list(&container["args"]).map(|a| a.as_str().unwrap().to_owned()).collect();
        let variable = |v: &Value| {
            let value = match v["valueFrom"]["resourceFieldRef"]["resource"].as_str() {
                // As the kubelet gives it: a plain number of bytes.
                Some("requests.memory") => bytes(&container["resources"]["requests"]["memory"]).to_string(),
                Some(other) => panic!("{other} is not known here"),
                None => v["value"].as_str().unwrap().to_owned(),
            };
            (v["name"].as_str().unwrap().to_owned(), value)
        };
        Self { program: program(name), arguments, variables: list(&container["env"]).map(variable).collect() }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.variables.iter().cloned());
        command
    }

    /// Every key that the program understood, as `--print_config` says it.
    fn understood(&self) -> BTreeMap<String, String> {
        let output = self.command().arg("--print_config").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{:?}: {}", self.arguments, String::from_utf8_lossy(&output.stderr));
        let pair = |line: &str| {
            let (key, rest) = line.split_once(" = \"")?;
            Some((key.to_owned(), rest.split('"').next()?.to_owned()))
        };
        text.lines().filter_map(pair).collect()
    }

    /// Starts the program as the pod does, except for its ports and directories, and stops it as a kubelet does.
    fn starts(&self) {
        let logdir = LogDir::new();
        let (port, grpc, admin) = (free_port(), free_port(), free_port());
        let mut command = self.command();
        command.args([format!("--port={port}"), format!("--grpc_port={grpc}"), format!("--admin_port={admin}")]);
        let directory = logdir.path().display();
        command.args([format!("--logdir={directory}"), format!("--allowed_roots={directory}")]);
        let mut process = Process::start(command);
        process.wait_for_port(port);
        process.signal("TERM");
        assert!(process.wait().success(), "{:?}: {}", self.arguments, process.log());
    }
}

fn bytes(quantity: &Value) -> u64 {
    let text = quantity.as_str().unwrap();
    let number = |suffix| text.strip_suffix(suffix).and_then(|n: &str| n.parse::<u64>().ok());
    number("Gi").map(|n| n << 30).or(number("Mi").map(|n| n << 20)).unwrap_or_else(|| panic!("{text} is no quantity"))
}

fn seconds(time: &str) -> u64 {
    match time.strip_suffix('m') {
        Some(minutes) => minutes.parse::<u64>().unwrap() * 60,
        None => time.trim_end_matches('s').parse().unwrap(),
    }
}

/// The port behind a number or a name.
fn port_of(pod: &Value, port: &Value) -> u64 {
    let ports = &pod["containers"][0]["ports"];
    let named = list(ports).find(|p| p["name"] == *port).and_then(|p| p["containerPort"].as_u64());
    port.as_u64().or(named).unwrap_or_else(|| panic!("no port {port} in {ports}"))
}

/// Every Service leads to a port that its program opens.
fn services_lead_somewhere(documents: &[Value]) {
    for service in of_kind(documents, "Service") {
        let app = &service["spec"]["selector"]["app"];
        let deployments = of_kind(documents, "Deployment");
        let deployment = deployments.iter().find(|d| d["spec"]["template"]["metadata"]["labels"]["app"] == *app);
        let pod = &deployment.unwrap_or_else(|| panic!("nothing is behind {service}"))["spec"]["template"]["spec"];
        let key = if app == "xprof-worker" { "grpc_port" } else { "port" };
        let target = port_of(pod, &service["spec"]["ports"][0]["targetPort"]);
        assert_eq!(Told::by(pod).understood()[key], target.to_string(), "{service}");
    }
}

fn pods(documents: &[Value]) -> Vec<&Value> {
    of_kind(documents, "Deployment").into_iter().map(|d| &d["spec"]["template"]["spec"]).collect()
}

#[test]
fn the_deployment_guides_manifests_run_on_our_programs() {
    let guide = documents(GUIDE);
    let told: Vec<_> = pods(&guide).into_iter().map(Told::by).collect();
    let [aggregator, worker] = told.as_slice() else { panic!("two deployments") };
    let understood = aggregator.understood();
    for (key, value) in [
        ("port", "10000"),
        ("worker_service_address", "dns:///xprof-worker-service.default.svc.cluster.local:8891"),
        ("grpc_port", "50051"),
        ("hide_capture_profile_button", "true"),
        ("lb_policy", "round_robin"),
        ("dns_resolver", "native"),
    ] {
        assert_eq!(understood[key], value, "{key}");
    }
    let understood = worker.understood();
    assert_eq!((&*understood["port"], &*understood["grpc_port"]), ("9999", "8891"));
    services_lead_somewhere(&guide);
    aggregator.starts();
    worker.starts();
}

const OVERLAYS: [&str; 3] = ["base", "overlays/minikube", "overlays/production"];

/// The manifests of a directory of `k8s/`, or nothing where `kubectl` is missing.
fn rendered(overlay: &str) -> Option<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s").join(overlay);
    let output = match Command::new("kubectl").arg("kustomize").arg(&directory).output() {
        Ok(output) => output,
        Err(error) => {
            skip(Need::Kubectl, &format!("kubectl cannot be run: {error}"));
            return None;
        }
    };
    assert!(output.status.success(), "{overlay}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn our_manifests_hold_together() {
    for overlay in OVERLAYS {
        let Some(yaml) = rendered(overlay) else { return };
        let documents = documents(&yaml);
        services_lead_somewhere(&documents);
        let understood: Vec<_> = pods(&documents).into_iter().map(|pod| Told::by(pod).understood()).collect();
        let longest_job = understood.iter().find_map(|u| u.get("request_timeout")).map(|t| seconds(t)).unwrap();
        for (pod, understood) in pods(&documents).into_iter().zip(&understood) {
            Told::by(pod).starts();
            let grace = seconds(&understood["shutdown_grace"]);
            let container = &pod["containers"][0];
            let stops = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap_or_default();
            let killed_after = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
            assert!(longest_job < grace && stops + grace < killed_after, "{overlay}: {pod}");

            let budget: u64 = understood["memory_budget"].parse().unwrap();
            assert_eq!(budget, bytes(&container["resources"]["requests"]["memory"]), "{overlay}: {pod}");
            assert!(budget * 2 <= bytes(&container["resources"]["limits"]["memory"]), "{overlay}: {pod}");

            let admin = if understood.contains_key("admin_port") && understood["admin_port"] != "0" {
                &understood["admin_port"]
            } else {
                &understood["port"]
            };
            for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
                match container[probe]["grpc"]["port"].as_u64() {
                    Some(port) => assert_eq!(understood["grpc_port"], port.to_string(), "{overlay}: {probe}"),
                    None => {
                        let port = port_of(pod, &container[probe]["httpGet"]["port"]);
                        assert_eq!(*admin, port.to_string(), "{overlay}: {probe}");
                    }
                }
            }
            let mounted = list(&container["volumeMounts"])
                .any(|m| Some(&m["mountPath"]) == understood.get("logdir").map(|d| Value::from(d.as_str())).as_ref());
            assert!(mounted || overlay == "base", "{overlay}: the log directory is no volume: {container}");
        }
    }
}

#[test]
fn our_manifests_are_valid() {
    let validate = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin/kubernetes-validate");
    if !validate.exists() {
        return skip(Need::KubernetesValidate, "kubernetes-validate is not installed in target/venv");
    }
    for overlay in OVERLAYS {
        let Some(yaml) = rendered(overlay) else { return };
        let mut file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
        file.write_all(yaml.as_bytes()).unwrap();
        // The oldest release that knows `preStop.sleep`, and the newest.
        for release in ["1.30.0", "1.37.0"] {
            let mut command = Command::new(&validate);
            command.args(["--strict", "--kubernetes-version", release]).arg(file.path()).stdin(Stdio::null());
            let output = command.output().unwrap();
            let text =
                format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{overlay} for Kubernetes {release}: {text}");
        }
    }
}
