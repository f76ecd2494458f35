<?php
// The front controller: every request passes here. Laravel's own does the same, with more in between.

declare(strict_types=1);

spl_autoload_register(function (string $class): void {
    $file = __DIR__ . '/../' . lcfirst(str_replace('\\', '/', $class)) . '.php';
    if (is_file($file)) {
        require $file;
    }
});

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
foreach (require __DIR__ . '/../routes/api.php' as [$method, $pattern, $middleware, $action]) {
    if ($_SERVER['REQUEST_METHOD'] === $method && preg_match($pattern, (string) $path, $found)) {
        $request = new App\Http\Request(getallheaders(), App\Http\Request::body());
        http_response_code($middleware->handle($request, fn ($request) => $action($request, (int) $found['agent'])));
        return;
    }
}
http_response_code(404);
